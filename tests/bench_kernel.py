"""Measures a Jupyter kernel beside IPython's, in one run with one client.

    python tests/bench_kernel.py woolshed python3 [--rounds 3]

Needs jupyter_client, ipykernel and psutil, and both kernels installed. Each figure is the best of the
rounds, and the kernels take turns, so that other work on the machine hits both.
"""

import argparse
import statistics
import time

import psutil
from jupyter_client.manager import KernelManager

CELLS = {
    "python3": {
        "trivial": "1+1",
        "print": "for i in range(20000): print(i)",
        "prepare": "from IPython.display import display, HTML; page = HTML('x' * 5_000_000)",
        "display": "display(page)",
    },
    "woolshed": {
        "trivial": "1+1",
        "print": "for i in 0..20000 { print(i); }",
        "prepare": 'let page = "x"; page.pad(5000000, "x");',
        "display": "show(page)",
    },
}


def run(client, code):
    """Seconds from the request to `idle`, and the bytes of the outputs."""
    start = time.perf_counter()
    asked = client.execute(code)
    size = 0
    while True:
        message = client.get_iopub_msg(timeout=60)
        if message["parent_header"].get("msg_id") != asked:
            continue
        content = message["content"]
        if message["msg_type"] == "stream":
            size += len(content["text"])
        if message["msg_type"] in ("display_data", "execute_result"):
            size += sum(len(value) for value in content["data"].values())
        if message["msg_type"] == "error":
            raise RuntimeError(content["evalue"])
        if message["msg_type"] == "status" and content["execution_state"] == "idle":
            break
    seconds = time.perf_counter() - start
    client.get_shell_msg(timeout=60)
    return seconds, size


def measure(name):
    cells = CELLS[name]
    start = time.perf_counter()
    manager = KernelManager(kernel_name=name)
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    # The client's own wait_for_ready listens 0.2 s longer than it has to.
    client.kernel_info()
    client.get_shell_msg(timeout=60)
    figures = {"start to ready, ms": (time.perf_counter() - start) * 1e3}
    client.wait_for_ready(timeout=60)
    process = psutil.Process(manager.provisioner.pid)
    time.sleep(0.5)
    maps = process.memory_maps(grouped=True)
    figures["resident at rest, MB"] = sum(part.rss for part in maps) / 1e6
    # What no other process can share and the system cannot drop: what one more kernel costs.
    figures["private at rest, MB"] = sum(part.private_dirty for part in maps) / 1e6
    times = [run(client, cells["trivial"])[0] * 1e3 for _ in range(300)][20:]
    figures["1+1, p50 ms"] = statistics.median(times)
    figures["1+1, p99 ms"] = statistics.quantiles(times, n=100)[98]
    seconds, size = run(client, cells["print"])
    assert size == sum(len(f"{i}\n") for i in range(20000)), size
    figures["20000 prints, ms"] = seconds * 1e3
    run(client, cells["prepare"])
    seconds, size = min(run(client, cells["display"]) for _ in range(5))
    assert size >= 5_000_000, size
    figures["display of 5 MB, ms"] = seconds * 1e3
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kernels", nargs=2)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    best = {name: {} for name in arguments.kernels}
    for _ in range(arguments.rounds):
        for name in arguments.kernels:
            for what, value in measure(name).items():
                best[name][what] = min(value, best[name].get(what, value))
    ours, other = (best[name] for name in arguments.kernels)
    print(f"{'':24}{arguments.kernels[0]:>12}{arguments.kernels[1]:>12}{'ratio':>8}")
    for what, value in ours.items():
        print(f"{what:24}{value:12.2f}{other[what]:12.2f}{other[what] / value:8.1f}")


if __name__ == "__main__":
    main()
