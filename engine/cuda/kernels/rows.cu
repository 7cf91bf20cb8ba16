// Rows: RMSNorm under a gate, SwiGLU, gates on columns, sums over columns. Twins: ops/norm.rs,
// ops/swiglu.rs, ops/scale.rs. All arithmetic is in f32.

// 1 / sqrt(mean of x^2 over the dimensions whose gate is not 0 + eps); a warp takes a row.
template <class T>
__device__ float inverse_rms(const T* x, const T* z, u32 d, float eps, float* count) {
    float squares = 0.f, kept = 0.f;
    for (u32 i = LANE; i < d; i += LANES) {
        float keep = get(z[i]) != 0.f ? 1.f : 0.f, v = get(x[i]);
        squares += v * v * keep;
        kept += keep;
    }
    *count = fmaxf(warp_sum(kept), 1.f);
    return 1.f / sqrtf(warp_sum(squares) / *count + eps);
}

// y = x w r z for rows x (n, d).
template <class T>
__device__ void norm(const T* x, const T* w, const T* z, T* y, u32 n, u32 d, float eps) {
    u64 row = (u64)blockIdx.x * (blockDim.x / LANES) + WARP;
    if (row >= n) return;
    x += row * d;
    y += row * d;
    float count, r = inverse_rms(x, z, d, eps, &count);
    for (u32 i = LANE; i < d; i += LANES) put(y + i, get(x[i]) * r * get(w[i]) * get(z[i]));
}

// dx of the norm for the gradient g, and r of each row for the sums over columns.
template <class T>
__device__ void norm_back(const T* x, const T* w, const T* z, const T* g, T* dx, float* rs, u32 n, u32 d,
                          float eps) {
    u64 row = (u64)blockIdx.x * (blockDim.x / LANES) + WARP;
    if (row >= n) return;
    x += row * d;
    g += row * d;
    dx += row * d;
    float count, r = inverse_rms(x, z, d, eps, &count);
    float dot = 0.f;
    for (u32 i = LANE; i < d; i += LANES) dot += get(g[i]) * get(w[i]) * get(z[i]) * get(x[i]);
    float c = warp_sum(dot) * r * r * r / count;
    for (u32 i = LANE; i < d; i += LANES) {
        float zi = get(z[i]), keep = zi != 0.f ? 1.f : 0.f;
        put(dx + i, get(g[i]) * get(w[i]) * zi * r - get(x[i]) * keep * c);
    }
    if (LANE == 0) rs[row] = r;
}

__device__ __forceinline__ float sigmoid(float x) { return 1.f / (1.f + expf(-x)); }

// y = silu(g) u z for g, u (n, f) and z (f).
template <class T>
__device__ void swiglu(const T* g, const T* u, const T* z, T* y, u32 n, u32 f) {
    u32 col = blockIdx.x * blockDim.x + threadIdx.x;
    if (col >= f) return;
    float by = get(z[col]);
    for (u64 row = blockIdx.y; row < n; row += gridDim.y) {
        u64 i = row * f + col;
        float v = get(g[i]);
        put(y + i, v * sigmoid(v) * get(u[i]) * by);
    }
}

template <class T>
__device__ void swiglu_back(const T* g, const T* u, const T* z, const T* dy, T* dg, T* du, u32 n, u32 f) {
    u32 col = blockIdx.x * blockDim.x + threadIdx.x;
    if (col >= f) return;
    float by = get(z[col]);
    for (u64 row = blockIdx.y; row < n; row += gridDim.y) {
        u64 i = row * f + col;
        float v = get(g[i]), s = sigmoid(v), grad = get(dy[i]) * by;
        put(du + i, grad * v * s);
        put(dg + i, grad * get(u[i]) * s * (1.f + v * (1.f - s)));
    }
}

// y = x z, where `width` columns share a gate.
template <class T>
__device__ void scale_columns(const T* x, const T* z, T* y, u32 n, u32 columns, u32 width) {
    u32 col = blockIdx.x * blockDim.x + threadIdx.x;
    if (col >= columns) return;
    float by = get(z[col / width]);
    for (u64 row = blockIdx.y; row < n; row += gridDim.y) {
        u64 i = row * columns + col;
        put(y + i, get(x[i]) * by);
    }
}

// y = x + o f.
template <class T>
__device__ void gated_sum(const T* x, const T* o, const T* f, T* y, u32 n, u32 d) {
    u32 col = blockIdx.x * blockDim.x + threadIdx.x;
    if (col >= d) return;
    float by = get(f[col]);
    for (u64 row = blockIdx.y; row < n; row += gridDim.y) {
        u64 i = row * d + col;
        put(y + i, get(x[i]) + get(o[i]) * by);
    }
}

// Sums over rows, column by column: first over `span` rows each (here), then those sums in their order
// (`fold`). What is summed is a b of each row, times a factor of the row if there is one, or a silu(b) c.
template <class T>
__device__ void column_sums(const T* a, const T* b, const T* c, const float* by, float* parts, u32 n,
                            u32 columns, u32 span) {
    u32 col = blockIdx.x * blockDim.x + threadIdx.x;
    if (col >= columns) return;
    u64 begin = (u64)blockIdx.y * span, end = begin + span < n ? begin + span : n;
    float sum = 0.f;
    for (u64 row = begin; row < end; row++) {
        u64 i = row * columns + col;
        float v = get(b[i]);
        if (c) v = v * sigmoid(v) * get(c[i]);
        sum += get(a[i]) * v * (by ? by[row] : 1.f);
    }
    parts[(u64)blockIdx.y * columns + col] = sum;
}

// What `width` neighbouring columns sum to, over all parts, times `first` and times `second`. A thread takes
// a column that has a gate of its own, a warp a gate of several columns.
template <class T>
__device__ void fold(const float* parts, const T* first, const T* second, T* by_first, T* by_second,
                     u32 splits, u32 columns, u32 width) {
    u32 gate = blockIdx.x * blockDim.x + threadIdx.x;
    float sum = 0.f;
    if (width == 1) {
        if (gate >= columns) return;
        for (u32 s = 0; s < splits; s++) sum += parts[(u64)s * columns + gate];
    } else {
        gate /= LANES;
        if (gate >= columns / width) return;
        for (u32 s = 0; s < splits; s++)
            for (u32 i = LANE; i < width; i += LANES) sum += parts[(u64)s * columns + gate * width + i];
        sum = warp_sum(sum);
        if (LANE != 0) return;
    }
    if (by_first) put(by_first + gate, first ? sum * get(first[gate]) : sum);
    if (by_second) put(by_second + gate, second ? sum * get(second[gate]) : sum);
}

// Turns heads by their positions: `sign` is 1 forward and -1 back. x and y may be the same.
template <class T>
__device__ void rope(const T* x, T* y, const float* cosine, const float* sine, u32 n, u32 tokens, u32 heads,
                     u32 e, float sign) {
    u32 half = e / 2, pairs = heads * half;
    u32 at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= pairs) return;
    u32 head = at / half, i = at % half;
    for (u64 row = blockIdx.y; row < n; row += gridDim.y) {
        u64 angle = (row % tokens) * half + i, left = row * heads * e + head * e + i;
        float c = cosine[angle], s = sign * sine[angle], a = get(x[left]), b = get(x[left + half]);
        put(y + left, a * c - b * s);
        put(y + left + half, b * c + a * s);
    }
}

#define ROWS(T, N)                                                                                             \
    extern "C" __global__ void norm_##N(const T* x, const T* w, const T* z, T* y, u32 n, u32 d, float eps) {   \
        norm(x, w, z, y, n, d, eps);                                                                           \
    }                                                                                                          \
    extern "C" __global__ void norm_back_##N(const T* x, const T* w, const T* z, const T* g, T* dx, float* rs, \
                                             u32 n, u32 d, float eps) {                                        \
        norm_back(x, w, z, g, dx, rs, n, d, eps);                                                              \
    }                                                                                                          \
    extern "C" __global__ void swiglu_##N(const T* g, const T* u, const T* z, T* y, u32 n, u32 f) {            \
        swiglu(g, u, z, y, n, f);                                                                              \
    }                                                                                                          \
    extern "C" __global__ void swiglu_back_##N(const T* g, const T* u, const T* z, const T* dy, T* dg, T* du,  \
                                               u32 n, u32 f) {                                                 \
        swiglu_back(g, u, z, dy, dg, du, n, f);                                                                \
    }                                                                                                          \
    extern "C" __global__ void scale_columns_##N(const T* x, const T* z, T* y, u32 n, u32 columns,             \
                                                 u32 width) {                                                  \
        scale_columns(x, z, y, n, columns, width);                                                             \
    }                                                                                                          \
    extern "C" __global__ void gated_sum_##N(const T* x, const T* o, const T* f, T* y, u32 n, u32 d) {         \
        gated_sum(x, o, f, y, n, d);                                                                           \
    }                                                                                                          \
    extern "C" __global__ void column_sums_##N(const T* a, const T* b, const T* c, const float* by,            \
                                               float* parts, u32 n, u32 columns, u32 span) {                   \
        column_sums(a, b, c, by, parts, n, columns, span);                                                     \
    }                                                                                                          \
    extern "C" __global__ void fold_##N(const float* parts, const T* first, const T* second, T* by_first,      \
                                        T* by_second, u32 splits, u32 columns, u32 width) {                    \
        fold(parts, first, second, by_first, by_second, splits, columns, width);                               \
    }                                                                                                          \
    extern "C" __global__ void rope_##N(const T* x, T* y, const float* cosine, const float* sine, u32 n,       \
                                        u32 tokens, u32 heads, u32 e, float sign) {                            \
        rope(x, y, cosine, sine, n, tokens, heads, e, sign);                                                   \
    }
BOTH(ROWS)
