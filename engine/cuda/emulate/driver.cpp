// A CUDA driver, a cuBLAS and a cuRAND that compute on the host: just enough of them for our program to take
// training steps. Kernels of ours run as in `emulate.cpp`; those of candle that a step needs are said again
// here, in f64. It checks what is ours between the graph and the launch, and nothing of a real GPU; the memory
// of a made-up device is that of the host, and a function that is missing here is an error of the program.
//     c++ -std=c++17 -O2 -shared -fPIC -o libcuda.so.1 driver.cpp   (libcublas.so.13 and libcurand.so.10: links)
#include "emulate.cpp"

#include <mutex>

namespace {

typedef int Status;
const Status OK = 0, INVALID = 1, NOT_FOUND = 500, LAUNCH_FAILED = 719;

struct Module {
    std::string text;
};
struct Function {
    std::string name;
};

std::mutex one_at_a_time;

size_t width(const std::string& type) {
    if (type == "f64" || type == "i64") return 8;
    if (type == "f32" || type == "u32") return 4;
    if (type == "bf16") return 2;
    return type == "u8" ? 1 : 0;
}

double load(const std::string& type, const void* at, size_t i) {
    if (type == "f64") return ((const double*)at)[i];
    if (type == "f32") return ((const float*)at)[i];
    if (type == "bf16") return get(((const bf16*)at)[i]);
    if (type == "u32") return ((const u32*)at)[i];
    if (type == "i64") return (double)((const int64_t*)at)[i];
    return ((const unsigned char*)at)[i];
}

void store(const std::string& type, void* at, size_t i, double x) {
    if (type == "f64") ((double*)at)[i] = x;
    else if (type == "f32") ((float*)at)[i] = (float)x;
    else if (type == "bf16") ((bf16*)at)[i] = to_bf16((float)x);
    else if (type == "u32") ((u32*)at)[i] = (u32)x;
    else if (type == "i64") ((int64_t*)at)[i] = (int64_t)x;
    else ((unsigned char*)at)[i] = (unsigned char)x;
}

// The place of element i of a view; no list of sizes and strides for one without gaps.
size_t place(size_t i, size_t rank, const size_t* dims, const size_t* strides) {
    if (!dims) return i;
    size_t at = 0;
    for (size_t d = rank; d-- > 0; i /= dims[d]) at += i % dims[d] * strides[d];
    return at;
}

template <class T>
T arg(void** p, int i) {
    return *(T*)p[i];
}

bool begins(const std::string& name, const char* with) { return name.rfind(with, 0) == 0; }

// A kernel of candle's; false for one that is not known here.
bool candle(const std::string& name, unsigned blocks, void** p) {
    size_t cut = name.rfind('_');
    std::string op = name.substr(0, cut), type = name.substr(cut + 1);
    if (!width(type)) return false;
    if (begins(op, "copy2d")) {
        u32 rows = arg<u32>(p, 2), cols = arg<u32>(p, 3), from = arg<u32>(p, 4), to = arg<u32>(p, 5);
        for (size_t r = 0; r < rows; r++)
            memcpy(arg<char*>(p, 1) + r * to * width(type), arg<char*>(p, 0) + r * from * width(type),
                   cols * width(type));
        return true;
    }
    if (begins(op, "fast_sum")) {
        bool few = op == "fast_sum_small";
        size_t each = arg<size_t>(p, 1), rank = arg<size_t>(p, 2), out = few ? arg<size_t>(p, 0) : blocks;
        const size_t* dims = arg<const size_t*>(p, 3);
        for (size_t o = 0; o < out; o++) {
            double sum = 0;
            for (size_t i = 0; i < each; i++)
                sum += load(type, arg<void*>(p, 4), place(o * each + i, rank, dims, dims + rank));
            store(type, arg<void*>(p, 5), o, sum);
        }
        return true;
    }
    size_t n = arg<size_t>(p, 0), rank = arg<size_t>(p, 1);
    const size_t *dims = arg<const size_t*>(p, 2), *strides = dims ? dims + rank : nullptr;
    if (op == "const_set") {
        double x = load(type, p[3], 0);
        for (size_t i = 0; i < n; i++) store(type, arg<void*>(p, 4), place(i, rank, dims, strides), x);
        return true;
    }
    if (op == "affine") {
        double mul = load(type, p[5], 0), add = load(type, p[6], 0);
        for (size_t i = 0; i < n; i++)
            store(type, arg<void*>(p, 4), i, load(type, arg<void*>(p, 3), place(i, rank, dims, strides)) * mul + add);
        return true;
    }
    if (begins(op, "cast_")) {
        std::string from = op.substr(5);
        for (size_t i = 0; i < n; i++)
            store(type, arg<void*>(p, 4), i, load(from, arg<void*>(p, 3), place(i, rank, dims, strides)));
        return true;
    }
    if (op == "ucopy" || op == "usqr" || op == "uneg") {
        for (size_t i = 0; i < n; i++) {
            double x = load(type, arg<void*>(p, 3), place(i, rank, dims, strides));
            store(type, arg<void*>(p, 4), i, op == "usqr" ? x * x : op == "uneg" ? -x : x);
        }
        return true;
    }
    if (op == "badd" || op == "bsub" || op == "bmul" || op == "bdiv") {
        const size_t* others = strides ? strides + rank : nullptr;
        for (size_t i = 0; i < n; i++) {
            double a = load(type, arg<void*>(p, 3), place(i, rank, dims, strides));
            double b = load(type, arg<void*>(p, 4), place(i, rank, dims, others));
            store(type, arg<void*>(p, 5), i, op == "badd" ? a + b : op == "bsub" ? a - b : op == "bmul" ? a * b : a / b);
        }
        return true;
    }
    return false;
}

}  // namespace

typedef unsigned long long Pointer;

extern "C" {
Status cuInit(unsigned) { return OK; }
Status cuDriverGetVersion(int* version) { return *version = 13000, OK; }
Status cuDeviceGetCount(int* n) { return *n = 1, OK; }
Status cuDeviceGet(int* device, int number) { return *device = number, number == 0 ? OK : INVALID; }
Status cuDeviceGetName(char* name, int room, int) { return snprintf(name, room, "made up"), OK; }
Status cuDeviceTotalMem_v2(size_t* bytes, int) { return *bytes = (size_t)8 << 30, OK; }
Status cuDeviceGetAttribute(int* value, int what, int) {
    *value = what == 75 ? 9 : what == 76 ? 0 : 1;  // compute capability 9.0; everything else is there
    return OK;
}
Status cuDevicePrimaryCtxRetain(void** context, int) { return *context = (void*)16, OK; }
Status cuDevicePrimaryCtxRelease_v2(int) { return OK; }
Status cuCtxSetCurrent(void*) { return OK; }
Status cuCtxGetCurrent(void** context) { return *context = (void*)16, OK; }
Status cuCtxGetDevice(int* device) { return *device = 0, OK; }
Status cuCtxSynchronize() { return OK; }
Status cuStreamCreate(void** stream, unsigned) { return *stream = (void*)32, OK; }
Status cuStreamCreateWithPriority(void** stream, unsigned, int) { return *stream = (void*)32, OK; }
Status cuStreamDestroy_v2(void*) { return OK; }
Status cuStreamSynchronize(void*) { return OK; }
Status cuStreamWaitEvent(void*, void*, unsigned) { return OK; }
Status cuStreamIsCapturing(void*, int* status) { return *status = 0, OK; }
Status cuEventCreate(void** event, unsigned) { return *event = (void*)48, OK; }
Status cuEventRecord(void*, void*) { return OK; }
Status cuEventSynchronize(void*) { return OK; }
Status cuEventDestroy_v2(void*) { return OK; }
Status cuMemGetInfo_v2(size_t* free, size_t* total) { return *total = (size_t)8 << 30, *free = (size_t)6 << 30, OK; }
Status cuDeviceGetDefaultMemPool(void** pool, int) { return *pool = (void*)64, OK; }
Status cuMemPoolSetAttribute(void*, int, void*) { return OK; }
Status cuMemAllocAsync(Pointer* at, size_t bytes, void*) {
    // What is read before it is written is no number.
    void* room = aligned_alloc(256, (bytes + 511) / 256 * 256);
    if (room) memset(room, 0xff, bytes);
    return *at = (Pointer)(uintptr_t)room, room ? OK : 2;
}
Status cuMemAlloc_v2(Pointer* at, size_t bytes) { return cuMemAllocAsync(at, bytes, nullptr); }
Status cuMemFreeAsync(Pointer at, void*) { return free((void*)at), OK; }
Status cuMemFree_v2(Pointer at) { return free((void*)at), OK; }
Status cuMemcpyHtoDAsync_v2(Pointer to, const void* from, size_t n, void*) { return memcpy((void*)to, from, n), OK; }
Status cuMemcpyDtoHAsync_v2(void* to, Pointer from, size_t n, void*) { return memcpy(to, (void*)from, n), OK; }
Status cuMemcpyDtoDAsync_v2(Pointer to, Pointer from, size_t n, void*) {
    return memmove((void*)to, (void*)from, n), OK;
}
Status cuMemsetD8Async(Pointer at, unsigned char with, size_t n, void*) { return memset((void*)at, with, n), OK; }
Status cuGetErrorName(int, const char** text) { return *text = "made up", OK; }
Status cuGetErrorString(int, const char** text) { return *text = "the made-up driver refuses", OK; }
Status cuModuleLoadData(void** module, const void* ptx) { return *module = new Module{(const char*)ptx}, OK; }
Status cuModuleUnload(void*) { return OK; }
Status cuModuleGetFunction(void** function, void* module, const char* name) {
    const std::string& text = ((Module*)module)->text;
    if (text.find(std::string(".entry ") + name + "(") == std::string::npos) return NOT_FOUND;
    return *function = new Function{name}, OK;
}
Status cuFuncSetAttribute(void*, int, int) { return OK; }
Status cuLaunchKernel(void* function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned, unsigned,
                      unsigned shared, void*, void** p, void**) {
    std::lock_guard<std::mutex> lock(one_at_a_time);
    const std::string& name = ((Function*)function)->name;
    if (kernels.count(name)) {
        unsigned grid[3] = {x, y, z};
        const char* fault = woolshed_emulate(name.c_str(), grid, threads, shared, p, 0);
        if (fault) fprintf(stderr, "made-up driver: %s: %s\n", name.c_str(), fault);
        return fault ? LAUNCH_FAILED : OK;
    }
    if (candle(name, x, p)) return OK;
    fprintf(stderr, "made-up driver: it does not know the kernel %s\n", name.c_str());
    return LAUNCH_FAILED;
}

Status cublasCreate_v2(void** handle) { return *handle = (void*)80, OK; }
Status cublasDestroy_v2(void*) { return OK; }
Status cublasSetStream_v2(void*, void*) { return OK; }
// Columns stand one behind the other: C (m, n) = alpha op(A) op(B) + beta C.
Status cublasGemmStridedBatchedEx(void*, int turn_a, int turn_b, int m, int n, int k, const void* alpha,
                                  const void* a, int type, int lda, long long step_a, const void* b, int, int ldb,
                                  long long step_b, const void* beta, void* c, int, int ldc, long long step_c,
                                  int batch, int, int) {
    std::string kind = type == 14 ? "bf16" : type == 0 ? "f32" : "";
    if (kind.empty()) return 7;
    double by = *(const float*)alpha, keep = *(const float*)beta;
    for (long long t = 0; t < batch; t++)
        for (int j = 0; j < n; j++)
            for (int i = 0; i < m; i++) {
                double sum = 0;
                for (int l = 0; l < k; l++)
                    sum += load(kind, a, t * step_a + (turn_a ? l + (size_t)i * lda : i + (size_t)l * lda)) *
                           load(kind, b, t * step_b + (turn_b ? j + (size_t)l * ldb : l + (size_t)j * ldb));
                size_t at = t * step_c + i + (size_t)j * ldc;
                store(kind, c, at, by * sum + (keep != 0 ? keep * load(kind, c, at) : 0));
            }
    return OK;
}

Status curandCreateGenerator(void** generator, int) { return *generator = (void*)96, OK; }
Status curandSetPseudoRandomGeneratorSeed(void*, unsigned long long) { return OK; }
Status curandSetStream(void*, void*) { return OK; }
Status curandDestroyGenerator(void*) { return OK; }
}
