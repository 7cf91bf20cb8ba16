// Runs kernels as fibres; see `emulate.h`. Built as a library whose one caller is the tests:
//     c++ -std=c++17 -O2 -shared -fPIC -o libemulated.so emulate.cpp
#include "emulate.h"

#include <stdio.h>
#include <stdlib.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#include "../kernels/base.cuh"
#include "../kernels/rows.cu"
#include "../kernels/loss.cu"
#include "../kernels/update.cu"
#include "../kernels/places.cu"
#include "../kernels/attention.cu"
#include "../kernels/flash.cu"

thread_local Place emulated_place;

namespace {

const size_t STACK = 256 * 1024;
const unsigned char MARK = 0xA5;

#if defined(__x86_64__)
// Saves what a call must keep, and goes on where the other stack left off.
extern "C" void emulated_switch(void** save, void* to);
__asm__(
    ".text\n.globl emulated_switch\n.type emulated_switch,@function\nemulated_switch:\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp,(%rdi)\nmovq %rsi,%rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n");
#endif

// How many came to a barrier, and how often it opened.
struct Barrier {
    unsigned came = 0;
    unsigned long long opened = 0;
};

struct Fibre {
    dim3 thread;
    bool done = false;
    std::vector<char> stack;
#if defined(__x86_64__)
    void* at = nullptr;
#else
    ucontext_t context;
#endif
};

struct Block {
    std::vector<Fibre> fibres;
    std::vector<Barrier> warps;
    std::vector<char> left;
    Barrier whole;
    std::vector<unsigned char> shared;
    size_t shared_bytes = 0;
    unsigned now = 0;
    unsigned long long progress = 0;
    const char* fault = nullptr;
    void (*body)(void*) = nullptr;
    void* argument = nullptr;
#if defined(__x86_64__)
    void* home = nullptr;
#else
    ucontext_t home;
#endif
};

thread_local Block block;

void leave() {
#if defined(__x86_64__)
    emulated_switch(&block.fibres[block.now].at, block.home);
#else
    swapcontext(&block.fibres[block.now].context, &block.home);
#endif
}

void enter() {
    block.body(block.argument);
    block.fibres[block.now].done = true;
    block.progress++;
    for (;;) leave();
}

void prepare(Fibre& fibre) {
    fibre.done = false;
    fibre.stack.resize(STACK);
#if defined(__x86_64__)
    uintptr_t top = ((uintptr_t)fibre.stack.data() + STACK) & ~(uintptr_t)15;
    void** at = (void**)top - 2;
    at[0] = (void*)enter;
    at[1] = nullptr;
    for (int i = 0; i < 6; i++) *--at = nullptr;
    fibre.at = at;
#else
    getcontext(&fibre.context);
    fibre.context.uc_stack.ss_sp = fibre.stack.data();
    fibre.context.uc_stack.ss_size = STACK;
    makecontext(&fibre.context, enter, 0);
#endif
}

void wait(Barrier& barrier, unsigned size) {
    block.progress++;
    if (++barrier.came == size) {
        barrier.came = 0;
        barrier.opened++;
        return;
    }
    unsigned long long before = barrier.opened;
    unsigned me = block.now;
    while (barrier.opened == before) {
        leave();
        block.now = me;
    }
}

unsigned alive(unsigned from, unsigned to) {
    unsigned n = 0;
    for (unsigned i = from; i < to; i++) n += !block.fibres[i].done;
    return n;
}

template <class... A, size_t... I>
void call(void (*kernel)(A...), void** p, std::index_sequence<I...>) {
    kernel(*(A*)p[I]...);
}
template <class... A>
void call(void (*kernel)(A...), void** p) {
    call(kernel, p, std::index_sequence_for<A...>());
}

typedef void (*Kernel)(void**);
#define ENTRY(name) {#name, [](void** p) { call(name, p); }},
#define TYPES(name) ENTRY(name##_f32) ENTRY(name##_bf16)
#define WIDTHS(name) ENTRY(name##_64) ENTRY(name##_128)
const std::map<std::string, Kernel> kernels = {
    TYPES(norm) TYPES(norm_back) TYPES(swiglu) TYPES(swiglu_back) TYPES(scale_columns) TYPES(gated_sum)
    TYPES(column_sums) TYPES(fold) TYPES(rope) TYPES(cross_entropy) ENTRY(total_f64) TYPES(adam) TYPES(squares)
    TYPES(embed) TYPES(embed_back) TYPES(gather) TYPES(scatter) TYPES(attend) TYPES(shares)
    TYPES(attend_back_q) TYPES(attend_back_kv) WIDTHS(flash) WIDTHS(flash_back_q) WIDTHS(flash_back_kv)};

struct Launch {
    Kernel kernel;
    void** parameters;
};

// Runs the fibres of a block until all are done.
void run(unsigned threads, bool backwards) {
    block.fibres.resize(threads);
    block.warps.assign((threads + 31) / 32, Barrier());
    block.left.assign((size_t)(threads + 31) / 32 * 32 * 64, 0);
    block.whole = Barrier();
    block.shared.assign(block.shared_bytes + 64 + 16, 0xff);
    memset((char*)emulated_shared() + block.shared_bytes, MARK, 48);
    for (unsigned i = 0; i < threads; i++) {
        prepare(block.fibres[i]);
        block.fibres[i].thread = dim3{i, 0, 0};
    }
    unsigned done = 0;
    while (done < threads && !block.fault) {
        unsigned long long before = block.progress, so_far = before;
        // A warp runs on until all of it waits for the block: the others are as far behind as they can be, so
        // what it writes too early they read.
        for (unsigned first = 0; first < threads; so_far == block.progress ? first += 32 : 0) {
            so_far = block.progress;
            for (unsigned i = first; i < threads && i < first + 32 && !block.fault; i++) {
                unsigned n = backwards ? threads - 1 - i : i;
                Fibre& fibre = block.fibres[n];
                if (fibre.done) continue;
                block.now = n;
                emulated_place.thread = fibre.thread;
#if defined(__x86_64__)
                emulated_switch(&block.home, fibre.at);
#else
                swapcontext(&block.home, &fibre.context);
#endif
                done += fibre.done;
            }
        }
        if (block.progress == before && done < threads) emulated_fault("threads wait for each other for ever");
    }
    for (int i = 0; i < 48; i++)
        if (((unsigned char*)emulated_shared())[block.shared_bytes + i] != MARK)
            emulated_fault("a write beyond the shared memory of the block");
}

}  // namespace

void emulated_fault(const char* what) {
    if (!block.fault) block.fault = what;
}

void __syncthreads() {
    unsigned n = (unsigned)block.fibres.size();
    if (alive(0, n) != n) emulated_fault("a barrier that some threads have left behind");
    wait(block.whole, n);
    emulated_place.thread = block.fibres[block.now].thread;
}

void* emulated_shared() { return (void*)(((uintptr_t)block.shared.data() + 15) & ~(uintptr_t)15); }

const char* emulated_leave(const void* bytes, size_t size) {
    unsigned warp = block.now / 32, n = (unsigned)block.fibres.size();
    unsigned end = warp * 32 + 32 < n ? warp * 32 + 32 : n;
    if (size > 64 || alive(warp * 32, end) != 32) emulated_fault("lanes of a warp that are not all there");
    memcpy(&block.left[(size_t)block.now * 64], bytes, size);
    wait(block.warps[warp], 32);
    emulated_place.thread = block.fibres[block.now].thread;
    return &block.left[(size_t)warp * 32 * 64];
}

void emulated_taken() {
    wait(block.warps[block.now / 32], 32);
    emulated_place.thread = block.fibres[block.now].thread;
}

// Runs a kernel over its grid; `order` 1 runs blocks and threads backwards. Gives null, or what was wrong.
extern "C" const char* woolshed_emulate(const char* name, const unsigned grid[3], unsigned threads,
                                        unsigned shared_bytes, void** parameters, int order) {
    auto found = kernels.find(name);
    if (found == kernels.end()) return "there is no such kernel";
    Launch launch{found->second, parameters};
    block.body = [](void* of) { ((Launch*)of)->kernel(((Launch*)of)->parameters); };
    block.argument = &launch;
    block.shared_bytes = shared_bytes;
    block.fault = nullptr;
    emulated_place.block_size = dim3{threads, 1, 1};
    emulated_place.grid_size = dim3{grid[0], grid[1], grid[2]};
    unsigned total = grid[0] * grid[1] * grid[2];
    for (unsigned i = 0; i < total && !block.fault; i++) {
        unsigned n = order ? total - 1 - i : i;
        emulated_place.block = dim3{n % grid[0], n / grid[0] % grid[1], n / grid[0] / grid[1]};
        run(threads, order != 0);
    }
    return block.fault;
}

// The names of the kernels, a line each.
extern "C" const char* woolshed_kernels() {
    static const std::string names = [] {
        std::string all;
        for (auto& kernel : kernels) all += kernel.first + "\n";
        return all;
    }();
    return names.c_str();
}
