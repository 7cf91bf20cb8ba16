#!/usr/bin/env bash
# Everything that is wanted of one GPU (made for an H200), in parts of a few minutes; OUT/gpu.json has it all.
#
#     engine/cuda/build.sh && engine/cuda/build.sh tests      on any machine: the two programs
#     engine/benches/gpu.sh checks                            does it compute what the CPU computes?     2 min
#     engine/benches/gpu.sh dense elastic                     shear steps of a 7B shape, T 4,096         6 min
#     engine/benches/gpu.sh torch                             the same steps in PyTorch                  6 min
#     engine/benches/gpu.sh attention                         the dense step on each attention           6 min
#     engine/benches/gpu.sh bars                              the ratios and what they are to be         at once
#
# Each of these lines is one call under 10 minutes, and says what it expects. WOOLSHED and WOOLSHED_TESTS name the
# programs, OUT the folder of gpu.json (a list; parts add to it), PYTHON a Python with torch. `CASE=small
# DEVICE=cpu KEEP=0.5` tries the script without a GPU. The minutes are guesses: it has not run on a GPU yet.
set -uo pipefail
root="$(cd "$(dirname "$0")/../.." && pwd)"
woolshed="${WOOLSHED:-$root/target/cuda/release/woolshed}"
tests="${WOOLSHED_TESTS:-$root/target/cuda/release/woolshed-engine-tests}"
out="${OUT:-.}/gpu.json"
python="${PYTHON:-python3}"
device="${DEVICE:-cuda:0}"
case="${CASE:-7b}"
keep="${KEEP:-1.3b}"
steps="${STEPS:-5}"
[ -e "$out" ] || echo '[]' >"$out"

# Adds {"part": .., "seconds": .., "ok": .., "result": the last line of JSON or the last lines of text}.
part() {
    local name="$1" begin end log
    shift
    log="$(mktemp)"
    begin="$(date +%s.%N)"
    echo "== $name: $*"
    timeout "${LIMIT:-270}" "$@" 2>&1 | tee "$log"
    local status="${PIPESTATUS[0]}"
    end="$(date +%s.%N)"
    NAME="$name" STATUS="$status" SECONDS_="$(echo "$begin $end" | awk '{print $2 - $1}')" \
        "$python" - "$log" "$out" <<'PY'
import json, os, sys

log, out = sys.argv[1:]
lines = open(log, errors="replace").read().splitlines()
found = [line for line in lines if line.startswith("{")]
result = json.loads(found[-1]) if found else lines[-40:]
status = int(os.environ["STATUS"])
parts = json.load(open(out))
parts.append({"part": os.environ["NAME"], "seconds": float(os.environ["SECONDS_"]), "ok": status == 0,
              "status": status, "result": result})
json.dump(parts, open(out, "w"), indent=1)
PY
    rm -f "$log"
    [ "$status" = 0 ] || failed=1
}

expect() { printf -- '-- expected: %s\n' "$@"; }

bench() { part "$1" "$woolshed" bench --case "$case" --device "$device" --steps "$steps" --json --keep "$2"; }

torch() {
    part "$1" "$python" "$root/engine/benches/masked_step.py" --worker --case "$case" --keep "$2" \
        --steps "$steps" --device "$device" --bf16
}

failed=0
for wanted in "${@:-checks}"; do
    case "$wanted" in
    checks)
        expect "the driver, the libraries with their paths, 'cuda:0 ready', and which attention runs and why"
        part doctor "$woolshed" doctor
        # Every operation in f32 and bf16 beside the CPU, steps of a small model beside the CPU.
        expect "'test result: ok' and no line 'NOT CHECKED'"
        part equal "$tests" device --nocapture
        expect "two lines with the same losses, to the last digit; 'bars' compares them"
        part bits-1 "$woolshed" bench --case small --device "$device" --steps 3 --json
        part bits-2 "$woolshed" bench --case small --device "$device" --steps 3 --json
        ;;
    dense)
        expect "losses from 10.4 nats/token downwards; 0.5 to 0.8 s a step; some 112 GB"
        bench dense 1.0
        ;;
    # The 1.3B target of Sheared LLaMA: 24 layers, hidden 2,048, 16 heads, 5,504 channels.
    elastic)
        expect "alive [24, 2048, 16, 5504]; less than 0.4 of PyTorch's step over everything"
        bench elastic "$keep"
        ;;
    torch)
        expect "losses that differ from ours by less than 0.2: both round, in places of their own"
        torch torch-dense 1.0
        torch torch-elastic "$keep"
        ;;
    attention)
        expect "our own kernel the slowest; 'cudnn' may add up in any order, the last digits of its losses with it"
        for which in own cudnn; do
            export WOOLSHED_ATTENTION="$which"
            bench "attention-$which" 1.0
            unset WOOLSHED_ATTENTION
        done
        ;;
    bars)
        "$python" - "$out" <<'PY' || failed=1
import json, sys

parts = {p["part"]: p["result"] for p in json.load(open(sys.argv[1])) if p["ok"]}


def median(name):
    seconds = sorted(parts[name]["wall_seconds"])
    return seconds[len(seconds) // 2]


missed = 0


def bar(what, names, value, limit):
    global missed
    lacking = [n for n in names if n not in parts]
    if lacking:
        print(f"{what:58} not measured: {', '.join(lacking)}")
        return
    x = value()
    verdict = "" if limit is None else f" at most {limit}: {'yes' if x <= limit else 'NO'}"
    missed += limit is not None and x > limit
    print(f"{what:58} {x:8.3f}{verdict}")


def gap(a, b):
    return max(abs(x - y) for x, y in zip(parts[a]["losses"], parts[b]["losses"]))


bar("two runs, largest difference of losses", ["bits-1", "bits-2"], lambda: gap("bits-1", "bits-2"), 0.0)
bar("dense step beside PyTorch's, losses", ["dense", "torch-dense"], lambda: gap("dense", "torch-dense"), 0.2)
bar("elastic beside PyTorch's, losses", ["elastic", "torch-elastic"], lambda: gap("elastic", "torch-elastic"), 0.2)
for name in ("dense", "torch-dense", "elastic", "torch-elastic", "attention-own", "attention-cudnn"):
    bar(f"{name}, seconds a step", [name], lambda: median(name), None)
bar("dense step / PyTorch's dense step", ["dense", "torch-dense"], lambda: median("dense") / median("torch-dense"), 1.0)
bar("elastic step / PyTorch's masked step", ["elastic", "torch-elastic"],
    lambda: median("elastic") / median("torch-elastic"), 0.4)
bar("elastic step / our dense step", ["elastic", "dense"], lambda: median("elastic") / median("dense"), None)
bar("memory of the dense step / PyTorch's", ["dense", "torch-dense"],
    lambda: parts["dense"]["peak_bytes"] / parts["torch-dense"]["peak_bytes"], None)
for name in ("dense", "elastic", "attention-own", "attention-cudnn"):
    for line in parts.get(name, {}).get("attention", []):
        print(f"attention of {name}: {line}")
sys.exit(missed > 0)
PY
        ;;
    *)
        sed -n '2,15p' "$0" >&2
        exit 2
        ;;
    esac
done
echo "$out"
exit "$failed"
