#!/usr/bin/env python3
"""Writes the C source of a CUDA driver without a device, for a cuDNN that is only asked which kernels it has.

    python3 nothing.py libcudnn_graph.so.9 .. > driver.c

Every function whose name stands in the given libraries is there, does nothing and says that it went well. cuDNN
looks for a driver before it makes kernels; for a device that is described to it, it asks the driver nothing.
"""

import re
import sys

names = set()
for path in sys.argv[1:]:
    names |= set(re.findall(rb"\0(cu[A-Z][A-Za-z0-9_]{3,60})(?=\0)", open(path, "rb").read()))
names = {name.decode() for name in names} - {"cuDriverGetVersion", "cuDeviceGetCount", "cuGetExportTable"}
names -= {"cuGetProcAddress", "cuGetProcAddress_v2"}

print("""#define _GNU_SOURCE
#include <dlfcn.h>
int cuDriverGetVersion(int *version) { return *version = 13000, 0; }
int cuDeviceGetCount(int *count) { return *count = 0; }
int cuGetExportTable(void) { return 500; }
int cuGetProcAddress_v2(const char *name, void **at, int version, unsigned long flags, int *found) {
    *at = dlsym(dlopen("libcuda.so.1", RTLD_NOW), name);
    if (found) *found = *at ? 0 : 1;
    return *at ? 0 : 500;
}
int cuGetProcAddress(const char *name, void **at, int version, unsigned long flags) {
    return cuGetProcAddress_v2(name, at, version, flags, 0);
}
/* cuDNN also asks cuBLAS for its version. */
unsigned long cublasLtGetVersion(void) { return 130200; }
unsigned long cublasLtGetCudartVersion(void) { return 13000; }""")
for name in sorted(names):
    print(f"int {name}(void) {{ return 0; }}")
