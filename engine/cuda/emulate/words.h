// What `base.cuh` says in the device's own instructions, said in C++; `base.cuh` includes it.
#pragma once

#define SHARED(T, name) T* name = (T*)emulated_shared()

static inline bf16 to_bf16(float x) {
    u32 bits;
    memcpy(&bits, &x, 4);
    if (x != x) return bf16{0x7fff};
    return bf16{(unsigned short)((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

static inline float from_lane_xor(float x, int mask) {
    const char* all = emulated_leave(&x, sizeof x);
    float y;
    memcpy(&y, all + 64 * ((threadIdx.x % 32) ^ mask), sizeof y);
    emulated_taken();
    return y;
}

// One half of a register that holds two bf16.
static inline float half_of(u32 x, u32 upper) { return bits_to_float(upper ? x & 0xffff0000u : x << 16); }

// Lane l holds of A the rows l/4 and l/4 + 8 at columns 2 (l%4) + {0, 1} (+ 8), of B the rows
// 2 (l%4) + {0, 1} (+ 8) at column l/4, of C the rows l/4 (+ 8) at columns 2 (l%4) + {0, 1}.
static inline void warp_mma(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    u32 mine[6] = {a[0], a[1], a[2], a[3], b0, b1};
    const char* all = emulated_leave(mine, sizeof mine);
    auto reg = [&](u32 lane, u32 i) {
        u32 x;
        memcpy(&x, all + 64 * lane + 4 * i, 4);
        return x;
    };
    u32 lane = threadIdx.x % 32;
    for (u32 i = 0; i < 4; i++) {
        u32 row = lane / 4 + i / 2 * 8, col = lane % 4 * 2 + i % 2;
        float sum = 0.f;
        for (u32 k = 0; k < 16; k++) {
            u32 of_a = reg(row % 8 * 4 + k % 8 / 2, row / 8 + k / 8 * 2);
            u32 of_b = reg(col * 4 + k % 8 / 2, 4 + k / 8);
            sum += half_of(of_a, k % 2) * half_of(of_b, k % 2);
        }
        c[i] += sum;
    }
    emulated_taken();
}

// Lane l gets of matrix i the row l/4, columns 2 (l%4) + {0, 1}; its rows are where lanes 8 i .. 8 i + 7 point.
static inline void matrices(u32 (&r)[4], const bf16* row, bool turned) {
    if ((uintptr_t)row % 16 != 0) emulated_fault("a row of a matrix does not begin at 16 bytes");
    const char* all = emulated_leave(&row, sizeof row);
    u32 lane = threadIdx.x % 32;
    for (u32 i = 0; i < 4; i++) {
        u32 parts[2];
        for (u32 j = 0; j < 2; j++) {
            u32 y = lane / 4, x = lane % 4 * 2 + j;
            const bf16* from;
            memcpy(&from, all + 64 * (8 * i + (turned ? x : y)), sizeof from);
            parts[j] = from[turned ? y : x].bits;
        }
        r[i] = parts[0] | parts[1] << 16;
    }
    emulated_taken();
}
static inline void load_matrices(u32 (&r)[4], const bf16* row) { matrices(r, row, false); }
static inline void load_matrices_turned(u32 (&r)[4], const bf16* row) { matrices(r, row, true); }
