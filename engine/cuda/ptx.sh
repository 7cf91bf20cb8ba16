#!/usr/bin/env bash
# Compiles kernels/ to kernels.ptx with the nvcc on PATH (13.0; `build.sh ptx` fetches it and calls this).
set -euo pipefail
cd "$(dirname "$0")"
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
(cd kernels && xargs cat <kernels.txt) >"$scratch/kernels.cu"
sum="$(sha256sum "$scratch/kernels.cu" | cut -d' ' -f1)"
nvcc -std=c++17 -O3 -arch=compute_80 -ptx "$scratch/kernels.cu" -o "$scratch/kernels.ptx"
{
    echo "// Compiled by ptx.sh; the sources have the SHA-256"
    echo "// $sum"
    grep -v '^//' "$scratch/kernels.ptx" | grep -v '^$'
} >kernels.ptx
echo "kernels.ptx: $(wc -c <kernels.ptx) bytes, $(grep -c '\.entry' kernels.ptx) kernels"
