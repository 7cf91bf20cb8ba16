// Causal attention, number by number, in f32 arithmetic, for any head width up to 128: the way of f32
// models, and of bf16 heads that `flash.cu` does not take. Twin: ops/attention.rs.
//
// Operands are rows (B*T, heads*E) with queries and keys turned by their positions already. A block takes 32
// rows of queries (or of keys, for their gradients) and walks over the others 32 at a time; the scores exist
// for 32 x 32 places. Four threads share a row: thread q of them has columns q, q + 4, ...
//
// `lse` (B, H, T) is the logarithm of each row's mass; with it the backward pass makes the weights again.

#define SIDE 32
#define QUAD 4
#define MOST_E 128

struct Heads {
    u32 tokens, heads, kv_heads, e;
};

__device__ __forceinline__ float quad_sum(float x) {
    x += from_lane_xor(x, 1);
    return x + from_lane_xor(x, 2);
}

__device__ __forceinline__ float quad_max(float x) {
    x = fmaxf(x, from_lane_xor(x, 1));
    return fmaxf(x, from_lane_xor(x, 2));
}

// Rows `from ..` of one head into shared memory, zeros beyond the last token. `row` is the elements of a row.
template <class T>
__device__ void fetch(const T* x, float* to, u32 from, u32 tokens, u64 row, u32 e) {
    for (u32 at = threadIdx.x; at < SIDE * e; at += blockDim.x) {
        u32 t = at / e, i = at % e;
        to[t * (e + 1) + i] = from + t < tokens ? get(x[(u64)(from + t) * row + i]) : 0.f;
    }
}

__device__ __forceinline__ float row_dot(const float* a, const float* b, u32 e) {
    float sum = 0.f;
    for (u32 i = 0; i < e; i++) sum += a[i] * b[i];
    return sum;
}

// This thread's columns of a row of factors times the rows of x.
__device__ __forceinline__ void add_rows(float (&acc)[MOST_E / QUAD], const float* factors, const float* x,
                                         u32 quarter, u32 pitch, u32 e) {
#pragma unroll 1
    for (u32 j = 0; j < SIDE; j++) {
        float by = factors[j];
#pragma unroll
        for (u32 c = 0; c < MOST_E / QUAD; c++) {
            u32 col = c * QUAD + quarter;
            if (col < e) acc[c] += by * x[j * pitch + col];
        }
    }
}

template <class T>
__device__ void attend(const T* q, const T* k, const T* v, T* out, float* lse, Heads s, float scale) {
    SHARED(float, room);
    u32 pitch = s.e + 1, head = blockIdx.y, b = blockIdx.z, from = blockIdx.x * SIDE;
    float *qs = room, *ks = qs + SIDE * pitch, *vs = ks + SIDE * pitch, *ps = vs + SIDE * pitch;
    u64 q_row = (u64)s.heads * s.e, kv_row = (u64)s.kv_heads * s.e;
    u64 q_at = b * s.tokens * q_row + head * s.e;
    u64 kv_at = b * s.tokens * kv_row + head / (s.heads / s.kv_heads) * s.e;
    u32 i = threadIdx.x / QUAD, quarter = threadIdx.x % QUAD, at = from + i;
    float acc[MOST_E / QUAD], top = -FAR, mass = 0.f;
#pragma unroll
    for (u32 c = 0; c < MOST_E / QUAD; c++) acc[c] = 0.f;
    fetch(q + q_at, qs, from, s.tokens, q_row, s.e);
    for (u32 key = 0; key <= from; key += SIDE) {
        __syncthreads();
        fetch(k + kv_at, ks, key, s.tokens, kv_row, s.e);
        fetch(v + kv_at, vs, key, s.tokens, kv_row, s.e);
        __syncthreads();
        float score[SIDE / QUAD], here = -FAR;
        for (u32 c = 0; c < SIDE / QUAD; c++) {
            u32 j = c * QUAD + quarter;
            score[c] = key + j <= at ? row_dot(qs + i * pitch, ks + j * pitch, s.e) * scale : -FAR;
            here = fmaxf(here, score[c]);
        }
        float next = fmaxf(top, quad_max(here)), fade = expf(top - next), sum = 0.f;
        for (u32 c = 0; c < SIDE / QUAD; c++) {
            u32 j = c * QUAD + quarter;
            float p = key + j <= at ? expf(score[c] - next) : 0.f;
            ps[i * (SIDE + 1) + j] = p;
            sum += p;
        }
        mass = mass * fade + quad_sum(sum);
        top = next;
        __syncthreads();
#pragma unroll
        for (u32 c = 0; c < MOST_E / QUAD; c++) acc[c] *= fade;
        add_rows(acc, ps + i * (SIDE + 1), vs, quarter, pitch, s.e);
    }
    if (at >= s.tokens) return;
#pragma unroll
    for (u32 c = 0; c < MOST_E / QUAD; c++) {
        u32 col = c * QUAD + quarter;
        if (col < s.e) put(out + q_at + at * q_row + col, acc[c] / mass);
    }
    if (quarter == 0) lse[((u64)b * s.heads + head) * s.tokens + at] = top + logf(mass);
}

// What every row of weights shares in the gradient of its scores: the sum of g out over the head. A warp
// takes a row of a head.
template <class T>
__device__ void shares(const T* g, const T* out, float* delta, u32 n, Heads s) {
    u64 at = (u64)blockIdx.x * (blockDim.x / LANES) + WARP;
    if (at >= (u64)n * s.heads) return;
    u64 row = at / s.heads, head = at % s.heads, from = row * s.heads * s.e + head * s.e;
    float sum = 0.f;
    for (u32 i = LANE; i < s.e; i += LANES) sum += get(g[from + i]) * get(out[from + i]);
    sum = warp_sum(sum);
    u64 b = row / s.tokens, t = row % s.tokens;
    if (LANE == 0) delta[(b * s.heads + head) * s.tokens + t] = sum;
}

// The gradient of the queries.
template <class T>
__device__ void attend_back_q(const T* q, const T* k, const T* v, const T* g, const float* lse,
                              const float* delta, T* dq, Heads s, float scale) {
    SHARED(float, room);
    u32 pitch = s.e + 1, head = blockIdx.y, b = blockIdx.z, from = blockIdx.x * SIDE;
    float *qs = room, *gs = qs + SIDE * pitch, *ks = gs + SIDE * pitch, *vs = ks + SIDE * pitch;
    float* ds = vs + SIDE * pitch;
    u64 q_row = (u64)s.heads * s.e, kv_row = (u64)s.kv_heads * s.e;
    u64 q_at = b * s.tokens * q_row + head * s.e;
    u64 kv_at = b * s.tokens * kv_row + head / (s.heads / s.kv_heads) * s.e;
    u64 stats = ((u64)b * s.heads + head) * s.tokens;
    u32 i = threadIdx.x / QUAD, quarter = threadIdx.x % QUAD, at = from + i;
    bool inside = at < s.tokens;
    float mass = inside ? lse[stats + at] : 0.f, share = inside ? delta[stats + at] : 0.f;
    float acc[MOST_E / QUAD];
#pragma unroll
    for (u32 c = 0; c < MOST_E / QUAD; c++) acc[c] = 0.f;
    fetch(q + q_at, qs, from, s.tokens, q_row, s.e);
    fetch(g + q_at, gs, from, s.tokens, q_row, s.e);
    for (u32 key = 0; key <= from; key += SIDE) {
        __syncthreads();
        fetch(k + kv_at, ks, key, s.tokens, kv_row, s.e);
        fetch(v + kv_at, vs, key, s.tokens, kv_row, s.e);
        __syncthreads();
        for (u32 c = 0; c < SIDE / QUAD; c++) {
            u32 j = c * QUAD + quarter;
            float d = 0.f;
            if (inside && key + j <= at) {
                float p = expf(row_dot(qs + i * pitch, ks + j * pitch, s.e) * scale - mass);
                d = p * (row_dot(gs + i * pitch, vs + j * pitch, s.e) - share) * scale;
            }
            ds[i * (SIDE + 1) + j] = d;
        }
        __syncthreads();
        add_rows(acc, ds + i * (SIDE + 1), ks, quarter, pitch, s.e);
    }
    if (!inside) return;
#pragma unroll
    for (u32 c = 0; c < MOST_E / QUAD; c++) {
        u32 col = c * QUAD + quarter;
        if (col < s.e) put(dq + q_at + at * q_row + col, acc[c]);
    }
}

// The gradients of keys and values: one block sums over all query heads that share them.
template <class T>
__device__ void attend_back_kv(const T* q, const T* k, const T* v, const T* g, const float* lse,
                               const float* delta, T* dk, T* dv, Heads s, float scale) {
    SHARED(float, room);
    u32 pitch = s.e + 1, kv = blockIdx.y, b = blockIdx.z, from = blockIdx.x * SIDE;
    float *qs = room, *gs = qs + SIDE * pitch, *ks = gs + SIDE * pitch, *vs = ks + SIDE * pitch;
    float *ps = vs + SIDE * pitch, *ds = ps + SIDE * (SIDE + 1);
    u64 q_row = (u64)s.heads * s.e, kv_row = (u64)s.kv_heads * s.e;
    u64 kv_at = b * s.tokens * kv_row + kv * s.e;
    u32 i = threadIdx.x / QUAD, quarter = threadIdx.x % QUAD, at = from + i, group = s.heads / s.kv_heads;
    float key_acc[MOST_E / QUAD], value_acc[MOST_E / QUAD];
#pragma unroll
    for (u32 c = 0; c < MOST_E / QUAD; c++) key_acc[c] = value_acc[c] = 0.f;
    fetch(k + kv_at, ks, from, s.tokens, kv_row, s.e);
    fetch(v + kv_at, vs, from, s.tokens, kv_row, s.e);
    for (u32 head = kv * group; head < (kv + 1) * group; head++) {
        u64 q_at = b * s.tokens * q_row + head * s.e, stats = ((u64)b * s.heads + head) * s.tokens;
        for (u32 query = from; query < s.tokens; query += SIDE) {
            __syncthreads();
            fetch(q + q_at, qs, query, s.tokens, q_row, s.e);
            fetch(g + q_at, gs, query, s.tokens, q_row, s.e);
            __syncthreads();
            for (u32 c = 0; c < SIDE / QUAD; c++) {
                u32 j = c * QUAD + quarter;
                float p = 0.f, d = 0.f;
                if (query + j < s.tokens && at <= query + j) {
                    float mass = lse[stats + query + j], share = delta[stats + query + j];
                    p = expf(row_dot(qs + j * pitch, ks + i * pitch, s.e) * scale - mass);
                    d = p * (row_dot(gs + j * pitch, vs + i * pitch, s.e) - share) * scale;
                }
                ps[i * (SIDE + 1) + j] = p;
                ds[i * (SIDE + 1) + j] = d;
            }
            __syncthreads();
            add_rows(value_acc, ps + i * (SIDE + 1), gs, quarter, pitch, s.e);
            add_rows(key_acc, ds + i * (SIDE + 1), qs, quarter, pitch, s.e);
        }
    }
    if (at >= s.tokens) return;
#pragma unroll
    for (u32 c = 0; c < MOST_E / QUAD; c++) {
        u32 col = c * QUAD + quarter;
        if (col >= s.e) continue;
        put(dk + kv_at + at * kv_row + col, key_acc[c]);
        put(dv + kv_at + at * kv_row + col, value_acc[c]);
    }
}

#define ATTENTION(T, N)                                                                                       \
    extern "C" __global__ void attend_##N(const T* q, const T* k, const T* v, T* out, float* lse, u32 tokens, \
                                          u32 heads, u32 kv_heads, u32 e, float scale) {                      \
        attend(q, k, v, out, lse, Heads{tokens, heads, kv_heads, e}, scale);                                  \
    }                                                                                                         \
    extern "C" __global__ void shares_##N(const T* g, const T* out, float* delta, u32 n, u32 tokens,          \
                                          u32 heads, u32 e) {                                                 \
        shares(g, out, delta, n, Heads{tokens, heads, heads, e});                                             \
    }                                                                                                         \
    extern "C" __global__ void attend_back_q_##N(const T* q, const T* k, const T* v, const T* g,              \
                                                 const float* lse, const float* delta, T* dq, u32 tokens,     \
                                                 u32 heads, u32 kv_heads, u32 e, float scale) {               \
        attend_back_q(q, k, v, g, lse, delta, dq, Heads{tokens, heads, kv_heads, e}, scale);                  \
    }                                                                                                         \
    extern "C" __global__ void attend_back_kv_##N(const T* q, const T* k, const T* v, const T* g,             \
                                                  const float* lse, const float* delta, T* dk, T* dv,         \
                                                  u32 tokens, u32 heads, u32 kv_heads, u32 e, float scale) {  \
        attend_back_kv(q, k, v, g, lse, delta, dk, dv, Heads{tokens, heads, kv_heads, e}, scale);             \
    }
BOTH(ATTENTION)
