// Next-token cross-entropy. Twin: ops/loss.rs.

// The loss of each row of logits x (n, v) in nats, 0 where the target is not counted; in the place of the
// logits comes the gradient of the sum times `share`, unless `share` is 0. A block takes a row and goes over
// the vocabulary in pieces, with the largest logit so far and the mass beneath it.
template <class T>
__device__ void cross_entropy(T* x, const u32* targets, float* losses, u32 v, float share) {
    __shared__ float room[LANES];
    u64 row = blockIdx.x;
    x += row * v;
    u32 target = targets[row];
    if (target == 0xffffffffu) {
        if (share != 0.f)
            for (u32 i = threadIdx.x; i < v; i += blockDim.x) put(x + i, 0.f);
        if (threadIdx.x == 0) losses[row] = 0.f;
        return;
    }
    float top = -FAR, mass = 0.f;
    for (u32 i = threadIdx.x; i < v; i += blockDim.x) {
        float l = get(x[i]);
        if (l > top) {
            mass *= expf(top - l);
            top = l;
        }
        mass += expf(l - top);
    }
    // A loss that is no number stays one: `top` passes over it, the mass does not.
    float all = block_max(top, room);
    float total = block_sum(mass * expf(top - all), room);
    float hit = get(x[target]);
    __syncthreads();
    if (threadIdx.x == 0) losses[row] = logf(total) + all - hit;
    if (share == 0.f) return;
    float by = share / total;
    for (u32 i = threadIdx.x; i < v; i += blockDim.x)
        put(x + i, expf(get(x[i]) - all) * by - (i == target ? share : 0.f));
}

#define LOSS(T, N)                                                                                           \
    extern "C" __global__ void cross_entropy_##N(T* x, const u32* targets, float* losses, u32 v,             \
                                                 float share) {                                             \
        cross_entropy(x, targets, losses, v, share);                                                        \
    }
BOTH(LOSS)

// The sum of n numbers, by one block, in f64.
extern "C" __global__ void total_f64(const double* parts, double* sum, u32 n) {
    SHARED(double, room);
    double mine = 0.;
    for (u32 i = threadIdx.x; i < n; i += blockDim.x) mine += parts[i];
    room[threadIdx.x] = mine;
    __syncthreads();
    for (u32 step = blockDim.x / 2; step > 0; step /= 2) {
        if (threadIdx.x < step) room[threadIdx.x] += room[threadIdx.x + step];
        __syncthreads();
    }
    if (threadIdx.x == 0) *sum = room[0];
}
