// What the kernels share: element types, warps, reductions in a fixed order.
//
// All files of this folder are one translation unit, joined in the order of `kernels.txt`. No header of the
// toolkit is read, so that nvcc, NVRTC and the emulation of `../emulate` read the same text. Sums run in an order
// that depends on sizes alone: no atomics, so the bits are those of every other run on such a device.

typedef unsigned int u32;
typedef unsigned long long u64;

// A bfloat16: the upper half of a float. No header of the toolkit is needed for it.
struct bf16 {
    unsigned short bits;
};

#ifdef WOOLSHED_EMULATED
#include "../emulate/words.h"
#else
extern __shared__ __align__(16) unsigned char shared_room[];
#define SHARED(T, name) T* name = (T*)shared_room

__device__ __forceinline__ float bits_to_float(u32 x) { return __uint_as_float(x); }

// Rounds to nearest, ties to even.
__device__ __forceinline__ bf16 to_bf16(float x) {
    bf16 y;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}

// The value of lane `lane ^ mask` of the warp.
__device__ __forceinline__ float from_lane_xor(float x, int mask) {
    return __shfl_xor_sync(0xffffffffu, x, mask);
}

// C (16 x 8) += A (16 x 16) B (16 x 8), in the register layout of `mma.m16n8k16` of the PTX manual.
__device__ __forceinline__ void warp_mma(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Four 8 x 8 matrices out of shared memory, whose rows lanes 0-7, 8-15, 16-23 and 24-31 point at.
__device__ __forceinline__ void load_matrices(u32 (&r)[4], const bf16* row) {
    u32 at = (u32)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
}

// The same, each matrix transposed.
__device__ __forceinline__ void load_matrices_turned(u32 (&r)[4], const bf16* row) {
    u32 at = (u32)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
}
#endif

__device__ __forceinline__ float get(float x) { return x; }
__device__ __forceinline__ float get(bf16 x) { return bits_to_float((u32)x.bits << 16); }
__device__ __forceinline__ void put(float* at, float x) { *at = x; }
__device__ __forceinline__ void put(bf16* at, float x) { *at = to_bf16(x); }

// Two bfloat16 in a register, the first in the lower half.
__device__ __forceinline__ u32 pair(float lower, float upper) {
    return (u32)to_bf16(lower).bits | (u32)to_bf16(upper).bits << 16;
}

#define LANES 32
#define LANE (threadIdx.x % LANES)
#define WARP (threadIdx.x / LANES)

// Every lane gets the sum over the warp: a tree, so the order is fixed.
__device__ __forceinline__ float warp_sum(float x) {
    for (int mask = LANES / 2; mask > 0; mask /= 2) x += from_lane_xor(x, mask);
    return x;
}

__device__ __forceinline__ float warp_max(float x) {
    for (int mask = LANES / 2; mask > 0; mask /= 2) x = fmaxf(x, from_lane_xor(x, mask));
    return x;
}

// Every thread gets the sum over the block; `room` holds one number a warp.
__device__ __forceinline__ float block_sum(float x, float* room) {
    x = warp_sum(x);
    if (LANE == 0) room[WARP] = x;
    __syncthreads();
    float total = 0.f;
    for (u32 w = 0; w < blockDim.x / LANES; w++) total += room[w];
    __syncthreads();
    return total;
}

__device__ __forceinline__ float block_max(float x, float* room) {
    x = warp_max(x);
    if (LANE == 0) room[WARP] = x;
    __syncthreads();
    float top = room[0];
    for (u32 w = 1; w < blockDim.x / LANES; w++) top = fmaxf(top, room[w]);
    __syncthreads();
    return top;
}

// Largest finite float: a mask that leaves no infinities to subtract.
#define FAR 3.402823e38f

// A kernel in both element types.
#define BOTH(KERNEL) KERNEL(float, f32) KERNEL(bf16, bf16)
