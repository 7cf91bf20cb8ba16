"""Starts many kernels at once, each running the first cells of the quickstart, and says what they cost.

    python tests/thirty_kernels.py [--kernel woolshed] [--count 30] [--cells 4]

Needs jupyter_client and psutil, and the kernel installed. Memory is the sum over all kernels: `resident`
counts shared pages once for each kernel, `proportional` counts them once in all (Linux only).
"""

import argparse
import json
import pathlib
import tempfile
import threading
import time

import psutil
from jupyter_client.manager import KernelManager

QUICKSTART = pathlib.Path(__file__).parent.parent / "notebooks" / "quickstart.ipynb"


def first_cells(count):
    """The code of the first cells of the quickstart."""
    cells = json.loads(QUICKSTART.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return code[:count]


class Kernel(threading.Thread):
    """A kernel and its client, from start to the end of the last cell."""

    def __init__(self, name, cells, folder):
        super().__init__()
        self.cells = cells
        self.manager = KernelManager(kernel_name=name)
        self.folder = folder
        self.ready = self.done = None
        self.failed = None

    def run(self):
        start = time.perf_counter()
        try:
            self.manager.start_kernel(cwd=self.folder)
            self.client = self.manager.client()
            self.client.start_channels()
            self.client.wait_for_ready(timeout=300)
            self.ready = time.perf_counter() - start
            for code in self.cells:
                reply = self.client.execute_interactive(code, timeout=600, output_hook=lambda _: None)
                if reply["content"]["status"] != "ok":
                    raise RuntimeError(reply["content"]["evalue"])
            self.done = time.perf_counter() - start
        except Exception as error:  # a thread tells what went wrong to the one that waits for it
            self.failed = error

    def memory(self):
        process = psutil.Process(self.manager.provisioner.pid)
        return process.memory_info().rss, process.memory_full_info().pss


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", default="woolshed")
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--cells", type=int, default=4)
    arguments = parser.parse_args()
    cells = first_cells(arguments.cells)
    with tempfile.TemporaryDirectory() as folder:
        kernels = [Kernel(arguments.kernel, cells, folder) for _ in range(arguments.count)]
        start = time.perf_counter()
        for kernel in kernels:
            kernel.start()
        for kernel in kernels:
            kernel.join()
        seconds = time.perf_counter() - start
        failed = [kernel.failed for kernel in kernels if kernel.failed]
        if failed:
            raise SystemExit(f"{len(failed)} kernels failed: {failed[0]}")
        resident, proportional = (sum(part) for part in zip(*(k.memory() for k in kernels)))
        for kernel in kernels:
            kernel.client.stop_channels()
            kernel.manager.shutdown_kernel(now=True)
    print(f"{arguments.count} kernels, {len(cells)} cells each: {seconds:.1f} s in all")
    print(f"slowest ready after {max(k.ready for k in kernels):.1f} s")
    print(f"resident {resident / 1e6:.0f} MB, proportional {proportional / 1e6:.0f} MB")
    print(f"a kernel: {proportional / 1e6 / arguments.count:.1f} MB proportional")


if __name__ == "__main__":
    main()
