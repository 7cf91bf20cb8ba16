#!/usr/bin/env bash
# Everything that is wanted of one GPU (made for an H200), in parts of a few minutes; one line of JSON each.
#
#     engine/cuda/build.sh && engine/cuda/build.sh tests      on any machine: the two programs
#     engine/benches/gpu.sh checks                            does it compute what the CPU computes?   1 min
#     engine/benches/gpu.sh dense elastic                     shear steps of a 7B shape, T 4,096       4 min
#     engine/benches/gpu.sh torch                             the same steps in PyTorch                6 min
#
# WOOLSHED and WOOLSHED_TESTS name the programs, OUT the folder of gpu.json (a list; parts add to it), PYTHON a
# Python with torch. The minutes are guesses: it has not run on a GPU yet.
set -uo pipefail
root="$(cd "$(dirname "$0")/../.." && pwd)"
woolshed="${WOOLSHED:-$root/target/cuda/release/woolshed}"
tests="${WOOLSHED_TESTS:-$root/target/cuda/release/woolshed-engine-tests}"
out="${OUT:-.}/gpu.json"
python="${PYTHON:-python3}"
device="${DEVICE:-cuda:0}"
case="${CASE:-7b}"
steps="${STEPS:-5}"
[ -e "$out" ] || echo '[]' >"$out"

# Adds {"part": .., "seconds": .., "ok": .., "result": the last line of JSON or the last lines of text}.
part() {
    local name="$1" begin end log
    shift
    log="$(mktemp)"
    begin="$(date +%s.%N)"
    echo "== $name: $*"
    timeout "${LIMIT:-560}" "$@" 2>&1 | tee "$log"
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

bench() {
    part "$1" "$woolshed" bench --case "$case" --device "$device" --steps "$steps" --json --keep "$2"
}

failed=0
for wanted in "${@:-checks}"; do
    case "$wanted" in
    checks)
        part doctor "$woolshed" doctor
        # Every operation in f32 and bf16 beside the CPU, steps of a small model beside the CPU.
        part equal "$tests" device --nocapture
        # The losses of both are to be the same, to the last digit.
        part bits-1 "$woolshed" bench --case small --device "$device" --steps 3 --json
        part bits-2 "$woolshed" bench --case small --device "$device" --steps 3 --json
        ;;
    dense) bench dense 1.0 ;;
    # Hidden 2,048, 16 heads, 5,504 channels: the 1.3B target but for its layers, which stay 32.
    elastic) bench elastic 0.5 ;;
    torch)
        for keep in 1.0 0.5; do
            part "torch-$keep" "$python" "$root/engine/benches/masked_step.py" --worker --case "$case" \
                --keep "$keep" --steps "$steps" --device "$device" --bf16
        done
        ;;
    *)
        sed -n '2,11p' "$0" >&2
        exit 2
        ;;
    esac
done
echo "$out"
exit "$failed"
