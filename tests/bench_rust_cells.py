"""Measures Rust cells beside evcxr's own Jupyter kernel, in one run with one client.

    python tests/bench_rust_cells.py woolshed-rust rust [--rounds 3] [--crate FOLDER]

Needs jupyter_client and both kernels installed, and `woolshed-rust` where its kernel finds it. Each figure is
the best of the rounds, and the kernels take turns, so that other work on the machine hits both. A first cell
is timed from the start of the kernel's process: how much of the work a kernel does before its first word and
how much after it is its own affair. The small crate has no dependencies and is built anew each time, unless
`--crate` names another.
"""

import argparse
import pathlib
import statistics
import tempfile
import time

from jupyter_client.manager import KernelManager

# What somebody types who looks a kernel over.
FIRST = {
    "first cell 1+1, s": "1+1",
    "first cell println, s": 'println!("hello")',
    "first cell let, s": "let v = vec![1.5, 2.5]; let total: f64 = v.iter().sum(); total",
}
THREE = "let a = vec![1, 2, 3]; let b = String::from(\"b\"); let c = 2.5;"


class Kernel:
    def __init__(self, name):
        self.begin = time.perf_counter()
        self.manager = KernelManager(kernel_name=name)
        self.manager.start_kernel()
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.kernel_info()
        self.client.get_shell_msg(timeout=300)
        self.ready = time.perf_counter() - self.begin

    def since_start(self):
        return time.perf_counter() - self.begin

    def run(self, code):
        start = time.perf_counter()
        reply = self.client.execute_interactive(
            code, timeout=600, output_hook=lambda message: None, allow_stdin=False
        )
        if reply["content"]["status"] != "ok":
            raise RuntimeError(f"{code}: {reply['content']}")
        return time.perf_counter() - start

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def measure(name, crate):
    figures = {}
    for what, code in FIRST.items():
        kernel = Kernel(name)
        figures.setdefault("start to ready, s", kernel.ready)
        figures["start to ready, s"] = min(figures["start to ready, s"], kernel.ready)
        kernel.run(code)
        figures[what] = kernel.since_start()
        kernel.close()
    # Somebody reads a notebook for 20 s before the first cell.
    for what, code in FIRST.items():
        if "println" in what:
            continue
        kernel = Kernel(name)
        time.sleep(20)
        figures[what.replace(", s", " after 20 s, s")] = kernel.run(code)
        if "let" in what:
            figures["second cell 1+1, s"] = kernel.run("1+1")
        kernel.close()
    kernel = Kernel(name)
    kernel.run("1+1")
    warm = [kernel.run("1+1") for _ in range(12)][2:]
    figures["warm 1+1, median s"] = statistics.median(warm)
    kernel.run(THREE)
    kernel.run("a.len() as f64 + b.len() as f64 + c")
    warm = [kernel.run("a.len() as f64 + b.len() as f64 + c") for _ in range(10)]
    figures["warm, three variables, median s"] = statistics.median(warm)
    figures["a new function, s"] = kernel.run("fn twice(x: i64) -> i64 { 2 * x }")
    figures["20000 prints, s"] = kernel.run('for i in 0..20000 { println!("{i}"); }')
    figures[":dep of a small crate, s"] = kernel.run(f':dep small = {{ path = "{crate}" }}\nsmall::twice(21)')
    figures["cell after it, s"] = kernel.run("small::twice(4)")
    kernel.close()
    return figures


BRIDGE = """
use std::time::Instant;
let numbers: Vec<f32> = (0..25_000_000).map(|i| i as f32).collect();
let mut best = [f64::MAX; 3];
for _ in 0..5 {
    let t = Instant::now();
    lab.bind("big", Value::blob(&numbers))?;
    best[0] = best[0].min(t.elapsed().as_secs_f64());
    let t = Instant::now();
    let back = lab.value("big")?.floats()?;
    best[1] = best[1].min(t.elapsed().as_secs_f64());
    assert!(back == numbers);
    let t = Instant::now();
    for _ in 0..10_000 { woolshed::check()?; }
    best[2] = best[2].min(t.elapsed().as_secs_f64() / 1e4);
}
println!("100 MB of f32 to the kernel {:.3} s, back {:.3} s; a call {:.1} us", best[0], best[1], best[2] * 1e6);
"""


def bridge(name):
    """What only one of the two has: a way to the live handles."""
    kernel = Kernel(name)
    kernel.client.execute_interactive(
        BRIDGE, timeout=600, output_hook=lambda m: print(m["content"].get("text", ""), end="")
    )
    kernel.close()


def small_crate(folder):
    source = pathlib.Path(folder) / "src"
    source.mkdir()
    manifest = '[package]\nname = "small"\nversion = "0.1.0"\nedition = "2021"\n'
    (pathlib.Path(folder) / "Cargo.toml").write_text(manifest)
    (source / "lib.rs").write_text("pub fn twice(x: i64) -> i64 { 2 * x }\n")
    return folder


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kernels", nargs=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--crate")
    arguments = parser.parse_args()
    best = {name: {} for name in arguments.kernels}
    with tempfile.TemporaryDirectory() as folder:
        crate = arguments.crate or small_crate(folder)
        for _ in range(arguments.rounds):
            for name in arguments.kernels:
                for what, value in measure(name, crate).items():
                    best[name][what] = min(value, best[name].get(what, value))
    ours, other = (best[name] for name in arguments.kernels)
    print(f"{'':34}{arguments.kernels[0]:>15}{arguments.kernels[1]:>12}{'ratio':>8}")
    for what, value in ours.items():
        print(f"{what:34}{value:15.3f}{other[what]:12.3f}{other[what] / value:8.2f}")
    bridge(arguments.kernels[0])


if __name__ == "__main__":
    main()
