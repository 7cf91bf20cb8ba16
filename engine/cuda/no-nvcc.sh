#!/bin/sh
# In the place of nvcc where CUDA code is only looked at (`cargo clippy --features cuda`): every file that it is
# to make is empty. What is built so must not be linked.
version="Cuda compilation tools, release 13.0, V13.0.88"
while [ $# -gt 0 ]; do
    case "$1" in
    --version | -V) echo "$version" ;;
    -o | --output-file)
        : >"$2"
        shift
        ;;
    --output-directory | -odir) folder="$2"; shift ;;
    *.cu) source="$1"; [ -z "${folder:-}" ] || : >"$folder/$(basename "$source" .cu).ptx" ;;
    esac
    shift
done
