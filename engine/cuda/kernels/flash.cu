// Causal attention in bf16 on the tensor cores (sm_80 and later), sums in f32. Twin: ops/attention.rs.
//
// The walk is that of `attention.cu` with tiles of 64 rows a block, 16 a warp. Scores live in registers, in
// the layout that one product leaves them in and the next one takes them in. Source of the idea: Dao,
// "FlashAttention-2"; the layout is that of `mma.m16n8k16` in the PTX manual.
//
// E is a multiple of 8, at most 128; a kernel is compiled for the widths W = 64 and 128, and columns from E to
// W are zeros.

#define TILE 64
#define WALK 32

// A (16 x 16) of the rows of x in shared memory that begin at `x`.
template <u32 PITCH>
__device__ __forceinline__ void rows_of(u32 (&a)[4], const bf16* x) {
    load_matrices(a, x + (LANE % 16) * PITCH + LANE / 16 * 8);
}

// B for two neighbouring products: 16 columns n of x^T, that is 16 rows of x, over 16 columns of x.
template <u32 PITCH>
__device__ __forceinline__ void columns_of_turned(u32 (&b)[4], const bf16* x) {
    load_matrices(b, x + (LANE % 8 + LANE / 16 * 8) * PITCH + LANE / 8 % 2 * 8);
}

// B for two neighbouring products: 16 rows of x as k, 16 columns of x as n.
template <u32 PITCH>
__device__ __forceinline__ void columns_of(u32 (&b)[4], const bf16* x) {
    load_matrices_turned(b, x + (LANE % 16) * PITCH + LANE / 16 * 8);
}

// Rows `from ..` of one head into shared memory, eight elements at a time, zeros beyond tokens and width.
template <u32 W, u32 ROWS>
__device__ void fetch_tile(const bf16* x, bf16* to, u32 from, u32 tokens, u64 row, u32 e) {
    const u32 pieces = W / 8;
    for (u32 at = threadIdx.x; at < ROWS * pieces; at += blockDim.x) {
        u32 t = at / pieces, i = at % pieces * 8;
        uint4 piece = make_uint4(0, 0, 0, 0);
        if (from + t < tokens && i < e) piece = *(const uint4*)(x + (u64)(from + t) * row + i);
        *(uint4*)(to + t * (W + 8) + i) = piece;
    }
}

// S (16 x 8 N) += rows of x times the transposed rows of y, over W columns.
template <u32 W, u32 N>
__device__ __forceinline__ void times_turned(float (&s)[N][4], const bf16* x, const bf16* y) {
    for (u32 k = 0; k < W; k += 16) {
        u32 a[4], b[4];
        rows_of<W + 8>(a, x + k);
        for (u32 n = 0; n < N; n += 2) {
            columns_of_turned<W + 8>(b, y + n * 8 * (W + 8) + k);
            warp_mma(s[n], a, b[0], b[1]);
            warp_mma(s[n + 1], a, b[2], b[3]);
        }
    }
}

// acc (16 x W) += P (16 x 8 N), rounded to bf16, times the rows of y.
template <u32 W, u32 N>
__device__ __forceinline__ void times_rows(float (&acc)[W / 8][4], const float (&p)[N][4], const bf16* y) {
    for (u32 k = 0; k < N; k += 2) {
        u32 a[4] = {pair(p[k][0], p[k][1]), pair(p[k][2], p[k][3]), pair(p[k + 1][0], p[k + 1][1]),
                    pair(p[k + 1][2], p[k + 1][3])};
        for (u32 n = 0; n < W / 8; n += 2) {
            u32 b[4];
            columns_of<W + 8>(b, y + k * 8 * (W + 8) + n * 8);
            warp_mma(acc[n], a, b[0], b[1]);
            warp_mma(acc[n + 1], a, b[2], b[3]);
        }
    }
}

template <u32 W>
__device__ __forceinline__ void clear(float (&x)[W][4]) {
    for (u32 n = 0; n < W; n++) x[n][0] = x[n][1] = x[n][2] = x[n][3] = 0.f;
}

// A row of the 16 x W block that this lane has two columns of, to memory, times `by`.
template <u32 W>
__device__ __forceinline__ void store_row(bf16* to, const float (&x)[W / 8][4], u32 half, u32 e, float by) {
    for (u32 n = 0; n < W / 8; n++) {
        u32 col = n * 8 + LANE % 4 * 2;
        if (col < e) *(u32*)(to + col) = pair(x[n][2 * half] * by, x[n][2 * half + 1] * by);
    }
}

#define LOG2E 1.44269504f

template <u32 W>
__device__ void flash(const bf16* q, const bf16* k, const bf16* v, bf16* out, float* lse, Heads s,
                      float scale) {
    SHARED(bf16, room);
    bf16 *qs = room, *ks = qs + TILE * (W + 8), *vs = ks + TILE * (W + 8);
    // The longest walks begin first.
    u32 head = blockIdx.y, b = blockIdx.z, from = (gridDim.x - 1 - blockIdx.x) * TILE;
    u64 q_row = (u64)s.heads * s.e, kv_row = (u64)s.kv_heads * s.e;
    u64 q_at = b * s.tokens * q_row + head * s.e;
    u64 kv_at = b * s.tokens * kv_row + head / (s.heads / s.kv_heads) * s.e;
    u32 row = from + WARP * 16 + LANE / 4;
    float acc[W / 8][4], top[2] = {-FAR, -FAR}, mass[2] = {0.f, 0.f}, by = scale * LOG2E;
    clear(acc);
    fetch_tile<W, TILE>(q + q_at, qs, from, s.tokens, q_row, s.e);
    for (u32 key = 0; key <= from; key += TILE) {
        __syncthreads();
        fetch_tile<W, TILE>(k + kv_at, ks, key, s.tokens, kv_row, s.e);
        fetch_tile<W, TILE>(v + kv_at, vs, key, s.tokens, kv_row, s.e);
        __syncthreads();
        float p[TILE / 8][4], here[2] = {-FAR, -FAR};
        clear(p);
        times_turned<W>(p, qs + WARP * 16 * (W + 8), ks);
        for (u32 n = 0; n < TILE / 8; n++)
            for (u32 j = 0; j < 4; j++) {
                bool seen = key + n * 8 + LANE % 4 * 2 + j % 2 <= row + j / 2 * 8;
                p[n][j] = seen ? p[n][j] * by : -FAR;
                here[j / 2] = fmaxf(here[j / 2], p[n][j]);
            }
        float sum[2] = {0.f, 0.f}, fade[2];
        for (u32 h = 0; h < 2; h++) {
            float next = fmaxf(top[h], quad_max(here[h]));
            fade[h] = exp2f(top[h] - next);
            top[h] = next;
        }
        for (u32 n = 0; n < TILE / 8; n++)
            for (u32 j = 0; j < 4; j++) {
                p[n][j] = exp2f(p[n][j] - top[j / 2]);
                sum[j / 2] += p[n][j];
            }
        for (u32 h = 0; h < 2; h++) mass[h] = mass[h] * fade[h] + quad_sum(sum[h]);
        for (u32 n = 0; n < W / 8; n++)
            for (u32 j = 0; j < 4; j++) acc[n][j] *= fade[j / 2];
        times_rows<W>(acc, p, vs);
    }
    for (u32 h = 0; h < 2; h++) {
        u32 at = row + h * 8;
        if (at >= s.tokens) continue;
        store_row<W>(out + q_at + at * q_row, acc, h, s.e, 1.f / mass[h]);
        if (LANE % 4 == 0)
            lse[((u64)b * s.heads + head) * s.tokens + at] = top[h] / LOG2E + logf(mass[h]);
    }
}

template <u32 W>
__device__ void flash_back_q(const bf16* q, const bf16* k, const bf16* v, const bf16* g, const float* lse,
                             const float* delta, bf16* dq, Heads s, float scale) {
    SHARED(bf16, room);
    bf16 *qs = room, *gs = qs + TILE * (W + 8), *ks = gs + TILE * (W + 8), *vs = ks + WALK * (W + 8);
    u32 head = blockIdx.y, b = blockIdx.z, from = (gridDim.x - 1 - blockIdx.x) * TILE;
    u64 q_row = (u64)s.heads * s.e, kv_row = (u64)s.kv_heads * s.e;
    u64 q_at = b * s.tokens * q_row + head * s.e;
    u64 kv_at = b * s.tokens * kv_row + head / (s.heads / s.kv_heads) * s.e;
    u64 stats = ((u64)b * s.heads + head) * s.tokens;
    u32 row = from + WARP * 16 + LANE / 4;
    float acc[W / 8][4], mass[2], share[2];
    clear(acc);
    for (u32 h = 0; h < 2; h++) {
        bool inside = row + h * 8 < s.tokens;
        mass[h] = inside ? lse[stats + row + h * 8] : 0.f;
        share[h] = inside ? delta[stats + row + h * 8] : 0.f;
    }
    fetch_tile<W, TILE>(q + q_at, qs, from, s.tokens, q_row, s.e);
    fetch_tile<W, TILE>(g + q_at, gs, from, s.tokens, q_row, s.e);
    for (u32 key = 0; key < from + TILE && key < s.tokens; key += WALK) {
        __syncthreads();
        fetch_tile<W, WALK>(k + kv_at, ks, key, s.tokens, kv_row, s.e);
        fetch_tile<W, WALK>(v + kv_at, vs, key, s.tokens, kv_row, s.e);
        __syncthreads();
        float p[WALK / 8][4], d[WALK / 8][4];
        clear(p);
        clear(d);
        times_turned<W>(p, qs + WARP * 16 * (W + 8), ks);
        times_turned<W>(d, gs + WARP * 16 * (W + 8), vs);
        for (u32 n = 0; n < WALK / 8; n++)
            for (u32 j = 0; j < 4; j++) {
                u32 at = row + j / 2 * 8, other = key + n * 8 + LANE % 4 * 2 + j % 2;
                bool seen = other <= at && at < s.tokens;
                float w = seen ? expf(p[n][j] * scale - mass[j / 2]) : 0.f;
                d[n][j] = w * (d[n][j] - share[j / 2]);
            }
        times_rows<W>(acc, d, ks);
    }
    for (u32 h = 0; h < 2; h++)
        if (row + h * 8 < s.tokens) store_row<W>(dq + q_at + (row + h * 8) * q_row, acc, h, s.e, scale);
}

template <u32 W>
__device__ void flash_back_kv(const bf16* q, const bf16* k, const bf16* v, const bf16* g, const float* lse,
                              const float* delta, bf16* dk, bf16* dv, Heads s, float scale) {
    SHARED(bf16, room);
    bf16 *ks = room, *vs = ks + TILE * (W + 8), *qs = vs + TILE * (W + 8), *gs = qs + WALK * (W + 8);
    u32 kv = blockIdx.y, b = blockIdx.z, from = blockIdx.x * TILE, group = s.heads / s.kv_heads;
    u64 q_row = (u64)s.heads * s.e, kv_row = (u64)s.kv_heads * s.e;
    u64 kv_at = b * s.tokens * kv_row + kv * s.e;
    u32 row = from + WARP * 16 + LANE / 4;
    float by_key[W / 8][4], by_value[W / 8][4];
    clear(by_key);
    clear(by_value);
    fetch_tile<W, TILE>(k + kv_at, ks, from, s.tokens, kv_row, s.e);
    fetch_tile<W, TILE>(v + kv_at, vs, from, s.tokens, kv_row, s.e);
    for (u32 head = kv * group; head < (kv + 1) * group; head++) {
        u64 q_at = b * s.tokens * q_row + head * s.e, stats = ((u64)b * s.heads + head) * s.tokens;
        for (u32 query = from; query < s.tokens; query += WALK) {
            __syncthreads();
            fetch_tile<W, WALK>(q + q_at, qs, query, s.tokens, q_row, s.e);
            fetch_tile<W, WALK>(g + q_at, gs, query, s.tokens, q_row, s.e);
            __syncthreads();
            // Weights and their gradient with keys as rows.
            float p[WALK / 8][4], d[WALK / 8][4];
            clear(p);
            clear(d);
            times_turned<W>(p, ks + WARP * 16 * (W + 8), qs);
            times_turned<W>(d, vs + WARP * 16 * (W + 8), gs);
            for (u32 n = 0; n < WALK / 8; n++)
                for (u32 j = 0; j < 4; j++) {
                    u32 at = row + j / 2 * 8, other = query + n * 8 + LANE % 4 * 2 + j % 2;
                    bool seen = at <= other && other < s.tokens;
                    float w = seen ? expf(p[n][j] * scale - lse[stats + other]) : 0.f;
                    p[n][j] = w;
                    d[n][j] = seen ? w * (d[n][j] - delta[stats + other]) : 0.f;
                }
            times_rows<W>(by_value, p, gs);
            times_rows<W>(by_key, d, qs);
        }
    }
    for (u32 h = 0; h < 2; h++) {
        u64 at = row + h * 8;
        if (at >= s.tokens) continue;
        store_row<W>(dk + kv_at + at * kv_row, by_key, h, s.e, scale);
        store_row<W>(dv + kv_at + at * kv_row, by_value, h, s.e, 1.f);
    }
}

#define FLASH(W)                                                                                             \
    extern "C" __global__ void __launch_bounds__(128)                                                        \
        flash_##W(const bf16* q, const bf16* k, const bf16* v, bf16* out, float* lse, u32 tokens, u32 heads, \
                  u32 kv_heads, u32 e, float scale) {                                                        \
        flash<W>(q, k, v, out, lse, Heads{tokens, heads, kv_heads, e}, scale);                               \
    }                                                                                                        \
    extern "C" __global__ void __launch_bounds__(128)                                                        \
        flash_back_q_##W(const bf16* q, const bf16* k, const bf16* v, const bf16* g, const float* lse,       \
                         const float* delta, bf16* dq, u32 tokens, u32 heads, u32 kv_heads, u32 e,           \
                         float scale) {                                                                      \
        flash_back_q<W>(q, k, v, g, lse, delta, dq, Heads{tokens, heads, kv_heads, e}, scale);               \
    }                                                                                                        \
    extern "C" __global__ void __launch_bounds__(128)                                                        \
        flash_back_kv_##W(const bf16* q, const bf16* k, const bf16* v, const bf16* g, const float* lse,      \
                          const float* delta, bf16* dk, bf16* dv, u32 tokens, u32 heads, u32 kv_heads,       \
                          u32 e, float scale) {                                                              \
        flash_back_kv<W>(q, k, v, g, lse, delta, dk, dv, Heads{tokens, heads, kv_heads, e}, scale);          \
    }
FLASH(64)
FLASH(128)
