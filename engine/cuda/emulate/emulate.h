// The words of CUDA that the kernels use, for a C++ compiler: the kernels of `../kernels` as plain functions.
//
// A block's threads are fibres of one thread of the system. A fibre runs until it waits for others: at a
// barrier of the block, or where lanes of a warp exchange values; a warp runs on until all of it waits for the
// block. The order of warps and lanes can be turned round: a kernel that lacks a barrier gives other numbers then. Shared memory begins as rubbish, ends in a
// mark that is checked, and a wait that nobody ends is an error.
//
// What it does not show: speed, the rounding of the device's own exp and division, and whether nvcc's code is
// what the source says.
#pragma once
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WOOLSHED_EMULATED
#define __device__ static
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(n)
#define __shared__ static thread_local

struct dim3 {
    unsigned x, y, z;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return uint4{x, y, z, w}; }

// Where the fibre that runs stands.
struct Place {
    dim3 thread, block, block_size, grid_size;
};
extern thread_local Place emulated_place;
#define threadIdx emulated_place.thread
#define blockIdx emulated_place.block
#define blockDim emulated_place.block_size
#define gridDim emulated_place.grid_size

// Waits for the whole block.
void __syncthreads();
// The dynamic shared memory of the block.
void* emulated_shared();
// Leaves `size` bytes for the other lanes of the warp, and gives the place of all lanes' bytes, 64 apart.
const char* emulated_leave(const void* bytes, size_t size);
// Waits until every lane has read them.
void emulated_taken();

static inline float bits_to_float(unsigned x) {
    float y;
    memcpy(&y, &x, 4);
    return y;
}

// The kernel did what the device forbids; the launch fails and says so.
void emulated_fault(const char* what);
