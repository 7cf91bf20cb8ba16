#!/usr/bin/env python3
"""Writes the C source of a library that stands in for CUDA's at link time.

    nm -P build/libcudarc.rlib .. | python3 shim.py > shim.c

Every function of the driver, cuBLAS, cuRAND, NVRTC and NCCL that the objects ask for becomes a jump. At the
first call the real library is opened by its name and the function looked up; where either is missing, the jump
goes to one that gives that library's code for "not there". So one program runs with CUDA and without.
"""

import re
import sys

# Prefix of the names, names of the library, the code when it is missing.
LIBRARIES = [
    ("cublasLt", ["libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"], 1),  # NOT_INITIALIZED
    ("cublas", ["libcublas.so.13", "libcublas.so.12", "libcublas.so"], 1),  # NOT_INITIALIZED
    ("curand", ["libcurand.so.10", "libcurand.so"], 101),  # NOT_INITIALIZED
    ("nvrtc", ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"], 11),  # INTERNAL_ERROR
    ("nccl", ["libnccl.so.2", "libnccl.so"], 2),  # system error
    ("cu", ["libcuda.so.1", "libcuda.so"], 100),  # NO_DEVICE
]
# Functions of these libraries that give a text, not a code (the driver's have it written to a pointer).
TEXT = re.compile(r"^(cublas|curand|nvrtc|nccl)\w*Get(Error|Status|LastError)(String|Name)?$")
# The CUDA runtime is linked in whole.
OWN = re.compile(r"^(cu[A-Z]|cublas|curand|nvrtc|nccl)")

HEAD = """#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
"""

RESOLVE = """
__attribute__((visibility("hidden"))) void *shim_table[COUNT];
__attribute__((visibility("hidden"))) void *shim_resolve(size_t i) {
    int l = symbols[i].library;
    if (!opened[l])
        for (const char *const *c = names[l]; *c && !opened[l]; c++) opened[l] = dlopen(*c, RTLD_NOW | RTLD_GLOBAL);
    void *p = opened[l] ? dlsym(opened[l], symbols[i].name) : NULL;
    if (!p) p = symbols[i].text ? (void *)missing_text : missing[l];
    shim_table[i] = p;
    return p;
}
"""

# Keeps the arguments in registers across the look-up, then goes where it points.
SLOW = [
    ".text", ".hidden shim_slow", "shim_slow:", "pushq %rbp", "movq %rsp,%rbp",
    "pushq %rdi", "pushq %rsi", "pushq %rdx", "pushq %rcx", "pushq %r8", "pushq %r9", "pushq %rax", "pushq %rbx",
    "subq $64,%rsp", "andq $-16,%rsp",
    "movsd %xmm0,(%rsp)", "movsd %xmm1,8(%rsp)", "movsd %xmm2,16(%rsp)", "movsd %xmm3,24(%rsp)",
    "movq 8(%rbp),%rdi", "call shim_resolve", "movq %rax,%r11",
    "movsd (%rsp),%xmm0", "movsd 8(%rsp),%xmm1", "movsd 16(%rsp),%xmm2", "movsd 24(%rsp),%xmm3",
    "movq -8(%rbp),%rdi", "movq -16(%rbp),%rsi", "movq -24(%rbp),%rdx", "movq -32(%rbp),%rcx",
    "movq -40(%rbp),%r8", "movq -48(%rbp),%r9", "movq -56(%rbp),%rax", "movq -64(%rbp),%rbx",
    "leave", "addq $8,%rsp", "jmp *%r11",
]  # fmt: skip


def assembly(lines):
    return '__asm__("%s\\n");' % "\\n".join(lines)


def main():
    wanted, defined = set(), set()
    for line in sys.stdin:
        words = line.split()
        if len(words) >= 2 and OWN.match(words[0]):
            (wanted if words[1] == "U" else defined).add(words[0])
    symbols = sorted(name for name in wanted - defined if not name.startswith("cuda"))
    if not symbols:
        sys.exit("shim.py: the objects ask for no function of CUDA")
    library = {name: next(i for i, (p, _, _) in enumerate(LIBRARIES) if name.startswith(p)) for name in symbols}
    out = [HEAD]
    lists = ", ".join("{%s, NULL}" % ", ".join('"%s"' % n for n in names) for _, names, _ in LIBRARIES)
    out.append("static const char *const names[][4] = {%s};" % lists)
    for i, (_, _, code) in enumerate(LIBRARIES):
        out.append("static int missing_%d(void) { return %d; }" % (i, code))
    out.append('static const char *missing_text(void) { return "its library was not found"; }')
    out.append("static void *const missing[] = {%s};" % ", ".join("missing_%d" % i for i in range(len(LIBRARIES))))
    out.append("static void *opened[%d];" % len(LIBRARIES))
    entry = '{"%s", %d, %d}'
    table = ", ".join(entry % (name, library[name], bool(TEXT.search(name))) for name in symbols)
    out.append("static const struct { const char *name; int library, text; } symbols[] = {%s};" % table)
    out.append(RESOLVE.replace("COUNT", str(len(symbols))))
    out.append(assembly(SLOW))
    for i, name in enumerate(symbols):
        jump = [".globl %s" % name, ".type %s,@function" % name, "%s:" % name]
        jump += ["movq shim_table+%d(%%rip),%%r11" % (8 * i), "testq %r11,%r11", "je 1f", "jmp *%r11"]
        jump += ["1: pushq $%d" % i, "jmp shim_slow"]
        out.append(assembly(jump))
    print("\n".join(out))
    print("shim.py: %d functions" % len(symbols), file=sys.stderr)


main()
