#!/usr/bin/env bash
# Builds woolshed with the feature `cuda`, on any Linux machine (x86-64) with cargo, gcc and python3.
#
#     engine/cuda/build.sh                     target/cuda/release/woolshed
#     engine/cuda/build.sh test [ARGUMENTS]    cargo test with the feature, e.g. `test --lib -- cuda`
#     engine/cuda/build.sh made-up             the tests of the devices on a driver that computes on the host
#     engine/cuda/build.sh cudnn               asks NVIDIA's cuDNN which kernels it has for our attention (350 MB)
#     engine/cuda/build.sh tests               the engine's tests as a program, to carry to a GPU
#     engine/cuda/build.sh cargo ARGUMENTS     cargo with the compiler's variables set, e.g. `cargo check ..`
#     engine/cuda/build.sh ptx                 kernels.ptx anew from kernels/ (seconds)
#     engine/cuda/build.sh tools               only what is fetched, and where it lies
#
# It needs no GPU, no driver and no toolkit: the compiler comes from PyPI (some 160 MB, once), the libraries
# are opened when the program needs them. The first build takes some 15 minutes of one core, most of it
# candle's own kernels.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
root="$(cd "$here/../.." && pwd)"
tools="${WOOLSHED_CUDA_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/woolshed/cuda-13.0}"
target="${CARGO_TARGET_DIR:-$root/target/cuda}"

# 13.0: its PTX is what driver 580 and later can compile.
wheels=(nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88
    nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85)

# Always the whole workspace: a package alone gets other features, and candle's kernels are compiled again.
what=(--release --manifest-path "$root/Cargo.toml" --workspace --features woolshed-kernel/cuda)

fetch() {
    if [ ! -e "$tools/ready" ]; then
        rm -rf "$tools/python" "$tools/cuda13"
        mkdir -p "$tools/cuda13" "$tools/link"
        python3 -m venv "$tools/python"
        "$tools/python/bin/pip" install --quiet --disable-pip-version-check --no-deps "${wheels[@]}"
        local found
        found="$(echo "$tools"/python/lib/python3*/site-packages/nvidia/cu13)"
        for part in bin include nvvm lib; do ln -sfn "$found/$part" "$tools/cuda13/$part"; done
        ln -sfn "$found/lib" "$tools/cuda13/lib64"
        touch "$tools/ready"
    fi
    export CUDA_HOME="$tools/cuda13" CUDA_PATH="$tools/cuda13" PATH="$tools/cuda13/bin:$PATH"
    # Code for 8.0, which every later device compiles further: one program for all.
    export CUDA_COMPUTE_CAP="${CUDA_COMPUTE_CAP:-80}"
    export WOOLSHED_CUDA_LINK="$tools/link" CARGO_TARGET_DIR="$target"
}

# The stand-in for CUDA's libraries, from what the compiled crates ask for.
stand_in() {
    cargo build "${what[@]}" --lib
    local new="$tools/link.$$"
    mkdir -p "$new"
    nm -P "$target"/release/deps/lib{cudarc,candle_core,candle_nn,woolshed_engine}-*.rlib 2>/dev/null |
        python3 "$here/shim.py" >"$new/shim.c"
    if ! cmp -s "$new/shim.c" "$tools/link/shim.c" || [ ! -e "$tools/link/libcuda.a" ]; then
        gcc -O2 -fPIC -c "$new/shim.c" -o "$new/shim.o"
        ar rcs "$new/libcuda.a" "$new/shim.o"
        for name in cublas cublasLt curand nvrtc nccl; do ar rcs "$new/lib$name.a"; done
        cp "$tools/cuda13/lib/libcudart_static.a" "$new/libcudart.a"
        mkdir -p "$tools/link"
        mv "$new"/*.a "$new/shim.c" "$tools/link/"
    fi
    rm -rf "$new"
}

case "${1:-build}" in
build)
    fetch
    stand_in
    cargo build "${what[@]}" --bin woolshed
    echo "$target/release/woolshed"
    ;;
test)
    fetch
    stand_in
    shift
    cargo test "${what[@]}" "$@"
    ;;
tests)
    fetch
    stand_in
    cargo test "${what[@]}" --lib --no-run --message-format=json |
        python3 -c '
import json, sys
for line in sys.stdin:
    made = json.loads(line) if line.startswith("{") else {}
    if made.get("executable") and made.get("target", {}).get("name") == "woolshed_engine":
        print(made["executable"])' | tail -1 | xargs -I{} cp {} "$target/release/woolshed-engine-tests"
    echo "$target/release/woolshed-engine-tests"
    ;;
made-up)
    fetch
    stand_in
    mkdir -p "$tools/made-up"
    c++ -std=c++17 -O2 -w -shared -fPIC -o "$tools/made-up/libcuda.so.1" "$here/emulate/driver.cpp"
    c++ -std=c++17 -O2 -w -shared -fPIC -o "$tools/made-up/libcudnn.so.9" "$here/emulate/cudnn.cpp"
    for name in libcublas.so.13 libcurand.so.10; do ln -sfn libcuda.so.1 "$tools/made-up/$name"; done
    LD_LIBRARY_PATH="$tools/made-up" cargo test "${what[@]}" --lib -- device --nocapture
    ;;
cudnn)
    mine="${CARGO_TARGET_DIR:-$root/target}"
    fetch
    version="${WOOLSHED_CUDNN:-9.28.1.4}"
    there="$tools/cudnn-$version"
    if [ ! -e "$there/ready" ]; then
        rm -rf "$there"
        "$tools/python/bin/pip" install --quiet --disable-pip-version-check --no-deps --target "$there" \
            "nvidia-cudnn-cu13==$version"
        mkdir -p "$there/driver"
        python3 "$here/emulate/nothing.py" "$there"/nvidia/cudnn/lib/*.so.9 >"$there/driver/driver.c"
        gcc -w -shared -fPIC -o "$there/driver/libcuda.so.1" "$there/driver/driver.c" -ldl
        ln -sfn libcuda.so.1 "$there/driver/libcublasLt.so.13"
        ln -sfn libcuda.so.1 "$there/driver/libcublas.so.13"
        touch "$there/ready"
    fi
    # The tests of a program without the feature: nothing of CUDA's is needed to ask.
    LD_LIBRARY_PATH="$there/nvidia/cudnn/lib:$there/driver:$tools/cuda13/lib" \
        WOOLSHED_CUDNN_HEADER="$there/nvidia/cudnn/include/cudnn_graph_v9.h" CARGO_TARGET_DIR="$mine" \
        cargo test --release --manifest-path "$root/Cargo.toml" --workspace --lib -- ops::cuda::dnn --nocapture
    ;;
cargo)
    fetch
    shift
    (cd "$root" && cargo "$@")
    ;;
ptx)
    fetch
    "$here/ptx.sh"
    ;;
tools)
    fetch
    echo "$tools"
    ;;
*)
    sed -n '2,13p' "$0" >&2
    exit 2
    ;;
esac
