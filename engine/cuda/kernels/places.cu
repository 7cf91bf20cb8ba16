// Rows and columns by their numbers: embeddings and their gradient, parts of a matrix for elastic steps.

// Rows `ids` of w (., d), side by side.
template <class T>
__device__ void embed(const T* w, const u32* ids, T* y, u32 n, u32 d) {
    u32 col = blockIdx.x * blockDim.x + threadIdx.x;
    if (col >= d) return;
    for (u64 row = blockIdx.y; row < n; row += gridDim.y) y[row * d + col] = w[(u64)ids[row] * d + col];
}

// The gradient of w: the rows of g that came from one id are summed in their order. `order` lists the rows
// by id, `starts` where each of the `distinct` ids begins in it (and its end).
template <class T>
__device__ void embed_back(const T* g, const u32* order, const u32* starts, const u32* distinct, T* dw,
                           u32 count, u32 d) {
    u32 col = blockIdx.x * blockDim.x + threadIdx.x;
    if (col >= d) return;
    for (u32 s = blockIdx.y; s < count; s += gridDim.y) {
        float sum = 0.f;
        for (u32 j = starts[s]; j < starts[s + 1]; j++) sum += get(g[(u64)order[j] * d + col]);
        put(dw + (u64)distinct[s] * d + col, sum);
    }
}

// Rows and columns of w, whose rows have `columns` elements; null for all of them.
template <class T>
__device__ void gather(const T* w, const u32* rows, const u32* cols, T* y, u32 r, u32 c, u32 columns) {
    u32 col = blockIdx.x * blockDim.x + threadIdx.x;
    if (col >= c) return;
    u32 from = cols ? cols[col] : col;
    for (u64 row = blockIdx.y; row < r; row += gridDim.y)
        y[row * c + col] = w[(u64)(rows ? rows[row] : row) * columns + from];
}

// The way back, into zeros.
template <class T>
__device__ void scatter(const T* g, const u32* rows, const u32* cols, T* dw, u32 r, u32 c, u32 columns) {
    u32 col = blockIdx.x * blockDim.x + threadIdx.x;
    if (col >= c) return;
    u32 to = cols ? cols[col] : col;
    for (u64 row = blockIdx.y; row < r; row += gridDim.y)
        dw[(u64)(rows ? rows[row] : row) * columns + to] = g[row * c + col];
}

#define PLACES(T, N)                                                                                         \
    extern "C" __global__ void embed_##N(const T* w, const u32* ids, T* y, u32 n, u32 d) {                   \
        embed(w, ids, y, n, d);                                                                              \
    }                                                                                                        \
    extern "C" __global__ void embed_back_##N(const T* g, const u32* order, const u32* starts,               \
                                              const u32* distinct, T* dw, u32 count, u32 d) {                \
        embed_back(g, order, starts, distinct, dw, count, d);                                                \
    }                                                                                                        \
    extern "C" __global__ void gather_##N(const T* w, const u32* rows, const u32* cols, T* y, u32 r, u32 c,  \
                                          u32 columns) {                                                     \
        gather(w, rows, cols, y, r, c, columns);                                                             \
    }                                                                                                        \
    extern "C" __global__ void scatter_##N(const T* g, const u32* rows, const u32* cols, T* dw, u32 r,       \
                                           u32 c, u32 columns) {                                             \
        scatter(g, rows, cols, dw, r, c, columns);                                                           \
    }
BOTH(PLACES)
