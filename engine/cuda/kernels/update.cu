// The optimiser: AdamW with f32 weights and moments under weights of either type, and sums of squares.
// Twins: ops/adam.rs, `sum_of_squares` in ops/kernel.rs.

// `master` holds the weights in f32; `w` gets them rounded, unless it is the master itself (null).
template <class T>
__device__ void adam(float* master, T* w, float* m, float* v, const T* g, u64 n, float scale, float keep1,
                     float take1, float keep2, float take2, float size, float second, float keep, float eps) {
    u64 step = (u64)gridDim.x * blockDim.x;
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        float grad = get(g[i]) * scale;
        float first = keep1 * m[i] + take1 * grad;
        float square = keep2 * v[i] + take2 * (grad * grad);
        float next = master[i] * keep - size * first / (sqrtf(square * second) + eps);
        m[i] = first;
        v[i] = square;
        master[i] = next;
        if (w) put(w + i, next);
    }
}

// The sum of squares of each `span` elements, in f64.
template <class T>
__device__ void squares(const T* x, double* parts, u64 n, u32 span) {
    SHARED(double, room);
    u64 begin = (u64)blockIdx.x * span, end = begin + span < n ? begin + span : n;
    double mine = 0.;
    for (u64 i = begin + threadIdx.x; i < end; i += blockDim.x) {
        double v = (double)get(x[i]);
        mine += v * v;
    }
    room[threadIdx.x] = mine;
    __syncthreads();
    for (u32 step = blockDim.x / 2; step > 0; step /= 2) {
        if (threadIdx.x < step) room[threadIdx.x] += room[threadIdx.x + step];
        __syncthreads();
    }
    if (threadIdx.x == 0) parts[blockIdx.x] = room[0];
}

#define UPDATE(T, N)                                                                                         \
    extern "C" __global__ void adam_##N(float* master, T* w, float* m, float* v, const T* g, u64 n,          \
                                        float scale, float keep1, float take1, float keep2, float take2,     \
                                        float size, float second, float keep, float eps) {                   \
        adam(master, w, m, v, g, n, scale, keep1, take1, keep2, take2, size, second, keep, eps);             \
    }                                                                                                        \
    extern "C" __global__ void squares_##N(const T* x, double* parts, u64 n, u32 span) {                     \
        squares(x, parts, n, span);                                                                          \
    }
BOTH(UPDATE)
