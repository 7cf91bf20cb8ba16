#!/usr/bin/env python3
"""The shear step of `woolshed bench`, in PyTorch, and both side by side.

    python masked_step.py --woolshed target/release/woolshed            both, in turns, and their ratio
    python masked_step.py --worker --case small --keep 0.5 --steps 4    PyTorch alone, one line of JSON

Weights, batch, gates, constraints and rates are those of `engine/src/run/bench.rs`, number by number;
the losses of both are compared, so that the times are those of the same work. PyTorch gets its best
form: eager f32, fused attention (SDPA), fused AdamW, the built-in RMSNorm where no hidden dimension is
closed. It computes every dimension, closed or not. Process time is that of all threads.

With `--device cuda:0` (or `--bf16`, on any device) weights are bf16 with f32 masters, moments are f32, and
layers are run again in the backward pass, as in `woolshed bench --device cuda:0`. That path was written without
a GPU and has run on the CPU alone.

Needs torch and numpy. Takes about two minutes for `small`.
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import time

# D, L, H, F, V, T, B
CASES = {
    "small": (288, 6, 6, 768, 4096, 256, 8),
    "mid": (512, 8, 8, 1376, 32000, 256, 4),
    "7b": (4096, 32, 32, 11008, 32000, 4096, 1),
}
# Published targets: L, D, H, F
TARGETS = {"370m": (24, 1024, 8, 2816), "1.3b": (24, 2048, 16, 5504), "2.7b": (32, 2560, 20, 6912)}
OPEN, CLOSED = 0.5, -4.6
BETA, LOW, HIGH, EPS = 2.0 / 3.0, -0.1, 1.1, 1e-6


def kept(n, keep):
    """Rounds half up, as Rust does."""
    return min(n, max(1, math.floor(n * keep + 0.5)))


def worker(case, keep, steps, threads, plain, device="cpu", bf16=False):
    import numpy as np
    import torch
    import torch.nn.functional as F
    from torch.utils.checkpoint import checkpoint

    torch.set_num_threads(threads)
    dev, wide = torch.device(device), not bf16
    dtype = torch.float32 if wide else torch.bfloat16
    on_cuda = dev.type == "cuda"
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    D, L, H, M, V, T, B = CASES[case]
    E = D // H

    def mixed(n):
        n = n + np.uint64(0x9E3779B97F4A7C15)
        n = (n ^ (n >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        n = (n ^ (n >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return n ^ (n >> np.uint64(31))

    def signed(n):
        return n - (1 << 64) if n >= 1 << 63 else n

    def mixed_there(n):
        """`mixed` in torch, whose 64-bit numbers have a sign."""
        right = lambda n, by: (n >> by) & ((1 << (64 - by)) - 1)
        n = n + signed(0x9E3779B97F4A7C15)
        n = (n ^ right(n, 30)) * signed(0xBF58476D1CE4E5B9)
        n = (n ^ right(n, 27)) * signed(0x94D049BB133111EB)
        return n ^ right(n, 31)

    number = 0

    def spread(rows, columns, deviation):
        nonlocal number
        first = np.uint64(number << 40)
        number += 1
        if not wide:
            n = torch.arange(rows * columns, dtype=torch.int64, device=dev) + int(first)
            w = ((mixed_there(n) >> 40) & ((1 << 24) - 1)).double()
            w = ((w / 16777216.0 - 0.5) * (deviation * math.sqrt(12.0))).float()
            return torch.nn.Parameter(w.to(dtype).view(rows, columns))
        w = (mixed(np.arange(rows * columns, dtype=np.uint64) + first) >> np.uint64(40)).astype(np.float64)
        w = ((w / 16777216.0 - 0.5) * (deviation * math.sqrt(12.0))).astype(np.float32)
        return torch.nn.Parameter(torch.from_numpy(w.reshape(rows, columns)))

    def ones():
        return torch.nn.Parameter(torch.ones(D, dtype=dtype, device=dev))

    residual = 0.02 / math.sqrt(2 * L)
    embed = spread(V, D, 0.02)
    layers = []
    for _ in range(L):
        layer = {"norm1": ones()}
        layer |= {name: spread(D, D, 0.02) for name in ("q", "k", "v")}
        layer["o"] = spread(D, D, residual)
        layer["norm2"] = ones()
        layer |= {"gate": spread(M, D, 0.02), "up": spread(M, D, 0.02), "down": spread(D, M, residual)}
        layers.append(layer)
    norm, head = ones(), spread(V, D, 0.02)
    weights = [embed, norm, head] + [p for layer in layers for p in layer.values()]
    ids = torch.from_numpy((mixed(np.arange(B * T, dtype=np.uint64)) % np.uint64(V)).astype(np.int64)).view(B, T).to(dev)
    targets = torch.cat([ids[:, 1:], torch.full((B, 1), -100, device=dev)], 1).view(-1)

    inverse = 10000.0 ** (-torch.arange(0, E, 2, dtype=torch.float64) / E)
    angles = torch.arange(T, dtype=torch.float64)[:, None] * inverse[None]
    cos, sin = torch.cat([angles.cos()] * 2, -1).float(), torch.cat([angles.sin()] * 2, -1).float()
    cos, sin = cos.to(dev, dtype), sin.to(dev, dtype)

    def rope(x):
        a, b = x[..., : E // 2], x[..., E // 2 :]
        return x * cos + torch.cat([-b, a], -1) * sin

    # Log-alphas, one table a kind; the target keeps what is alive.
    sizes = {"layer": (1, L), "head": (L, H), "intermediate": (L, M), "hidden": (1, D)}
    if keep in TARGETS:
        alive = dict(zip(("layer", "hidden", "head", "intermediate"), TARGETS[keep]))
    else:
        alive = {"layer": L, "head": kept(H, keep), "intermediate": kept(M, keep), "hidden": kept(D, keep)}
    log_alpha = {}
    for kind, (rows, width) in sizes.items():
        k = alive[kind]
        row = [OPEN if i * k // width != (i + 1) * k // width else CLOSED for i in range(width)]
        log_alpha[kind] = torch.nn.Parameter(torch.tensor([row] * rows, device=dev))
    multipliers = {kind: torch.nn.Parameter(torch.zeros(2, device=dev)) for kind in sizes}
    start = {kind: a.detach().clone() for kind, a in log_alpha.items()}

    def gates():
        z = {}
        for kind, a in log_alpha.items():
            noise = torch.full_like(a, 0.5)
            s = torch.sigmoid((noise.log() - (1 - noise).log() + a) / BETA)
            z[kind] = (s * (HIGH - LOW) + LOW).clamp(0, 1).to(dtype)
        return z

    def constraints(k):
        total = 0.0
        x = -LOW / (HIGH - LOW)
        for kind, a in log_alpha.items():
            closed = torch.sigmoid(math.log(x / (1 - x)) * BETA - a).clamp(EPS, 1 - EPS)
            target = (1 - alive[kind] / sizes[kind][1]) * min(1.0, k)
            gap = 1 - (1 - closed).mean(-1) - target
            total = total + (multipliers[kind][0] * gap + multipliers[kind][1] * gap**2).mean()
        return total

    def rms(x, w, z, keep_mask, count):
        if z is None:
            return F.rms_norm(x, (D,), w, 1e-5)
        if count == D:
            return F.rms_norm(x, (D,), w * z, 1e-5)
        y = x.float()
        variance = (y * y) @ keep_mask / count
        return (y * torch.rsqrt(variance + 1e-5)[..., None]).to(dtype) * (w * z)

    def forward(z):
        zh = keep_mask = None
        count = D
        if z is not None:
            zh = z["hidden"][0]
            keep_mask = (zh.detach() != 0).float()
            count = int(keep_mask.sum())
        x = F.embedding(ids, embed)
        if zh is not None:
            x = x * zh

        def layer(l, w, x):
            a = rms(x, w["norm1"], zh, keep_mask, count)
            q, k, v = (F.linear(a, w[n]).view(B, T, H, E).transpose(1, 2) for n in ("q", "k", "v"))
            c = F.scaled_dot_product_attention(rope(q), rope(k), v, is_causal=True).transpose(1, 2)
            if z is not None:
                c = c * z["head"][l][:, None]
            o = F.linear(c.reshape(B, T, D), w["o"])
            x = x + (o * (zh * z["layer"][0, l]) if z is not None else o)
            b = rms(x, w["norm2"], zh, keep_mask, count)
            m = F.silu(F.linear(b, w["gate"])) * F.linear(b, w["up"])
            if z is not None:
                m = m * z["intermediate"][l]
            o = F.linear(m, w["down"])
            return x + (o * (zh * z["layer"][0, l]) if z is not None else o)

        for l, w in enumerate(layers):
            x = layer(l, w, x) if wide else checkpoint(layer, l, w, x, use_reentrant=False)
        logits = F.linear(rms(x, norm, zh, keep_mask, count), head)
        return F.cross_entropy(logits.view(-1, V).float(), targets, ignore_index=-100)

    adam = {"betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.0, "fused": True}
    groups = [{"params": weights, "lr": 1e-3}] if wide else []
    # In bf16: an optimiser over the f32 masters of each eight tensors, so that few f32 gradients exist at a time.
    masters = [] if wide else [weights[i : i + 8] for i in range(0, len(weights), 8)]
    masters = [(ws, [w.detach().float().requires_grad_() for w in ws]) for ws in masters]
    updates = [torch.optim.AdamW(ms, lr=1e-3, **adam) for _, ms in masters]
    if not plain:
        groups.append({"params": list(log_alpha.values()), "lr": 1.0})
        groups.append({"params": list(multipliers.values()), "lr": 1.0, "maximize": True})
    optimizer = torch.optim.AdamW(groups, **adam) if groups else None
    everything = [p for g in groups for p in g["params"]] + ([] if wide else weights)
    process, wall, losses = [], [], []
    for k in range(steps + 1):
        with torch.no_grad():
            for kind, a in log_alpha.items():
                a.copy_(start[kind])
            if not plain:
                # As the bench: gates, multipliers and their moments where they were.
                for p in [*log_alpha.values(), *multipliers.values()]:
                    optimizer.state.pop(p, None)
                for m in multipliers.values():
                    m.zero_()
        if on_cuda:
            torch.cuda.synchronize()
        p0, w0 = time.process_time(), time.perf_counter()
        for p in everything:
            p.grad = None
        loss = forward(None if plain else gates())
        total = loss if plain else loss + constraints(k)
        total.backward()
        torch.nn.utils.clip_grad_norm_(everything, 1.0, foreach=True)
        if optimizer:
            optimizer.step()
        for (ws, ms), update in zip(masters, updates):
            for w, m in zip(ws, ms):
                m.grad = w.grad.float()
            update.step()
            with torch.no_grad():
                for w, m in zip(ws, ms):
                    m.grad = None
                    w.copy_(m)
        losses.append(loss.item())
        if on_cuda:
            torch.cuda.synchronize()
        if k:
            process.append(time.process_time() - p0)
            wall.append(time.perf_counter() - w0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if on_cuda:
        peak, base = torch.cuda.max_memory_reserved(dev), 0
    print(json.dumps({
        "torch": torch.__version__,
        "case": case,
        "keep": keep,
        "process_seconds": process,
        "wall_seconds": wall,
        "losses": losses,
        "peak_bytes": peak,
        "peak_bytes_over_import": peak - base,
    }))


def beside(args):
    """Runs both in turns and prints medians of all steps, and their ratio."""
    env = dict(os.environ, OMP_NUM_THREADS=str(args.threads), RAYON_NUM_THREADS=str(args.threads))

    def last_line(command):
        done = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True)
        return json.loads(done.stdout.strip().splitlines()[-1])

    def median(x):
        return sorted(x)[len(x) // 2]

    common = ["--case", args.case, "--keep", str(args.keep), "--steps", str(args.steps), "--device", args.device]
    bf16 = args.bf16 or args.device.startswith("cuda")
    ours = {"process": [], "wall": [], "peak": 0}
    theirs = {"process": [], "wall": [], "peak": 0}
    for _ in range(args.repeats):
        a = last_line([args.woolshed, "bench", "--json", *common])
        plain = (["--plain"] if args.plain else []) + (["--bf16"] if bf16 else [])
        b = last_line([sys.executable, __file__, "--worker", "--threads", str(args.threads), *plain, *common])
        for into, run in ((ours, a), (theirs, b)):
            into["process"] += run["process_seconds"]
            into["wall"] += run["wall_seconds"]
            into["peak"] = max(into["peak"], run["peak_bytes"])
        theirs["net"] = b["peak_bytes_over_import"]
        gaps = [abs(x - y) for x, y in zip(a["losses"], b["losses"])]
        # In bf16 each side rounds in places of its own.
        if not args.plain and max(gaps) > (0.2 if bf16 else 2e-3):
            sys.exit(f"the losses differ by {max(gaps):.1e}: not the same work\n{a['losses']}\n{b['losses']}")
    report = {
        "case": args.case,
        "keep": args.keep,
        "threads": args.threads,
        "torch": b["torch"],
        "largest_gap_of_losses": max(gaps),
        "woolshed_process_s": median(ours["process"]),
        "torch_process_s": median(theirs["process"]),
        "process_ratio": median(ours["process"]) / median(theirs["process"]),
        "least_process_ratio": min(ours["process"]) / min(theirs["process"]),
        "woolshed_wall_s": median(ours["wall"]),
        "torch_wall_s": median(theirs["wall"]),
        "wall_ratio": median(ours["wall"]) / median(theirs["wall"]),
        "woolshed_peak_mb": ours["peak"] / 1e6,
        "torch_peak_mb": theirs["peak"] / 1e6,
        "torch_peak_over_import_mb": theirs["net"] / 1e6,
        "peak_ratio": ours["peak"] / theirs["peak"],
        "peak_ratio_over_import": ours["peak"] / theirs["net"],
    }
    print(json.dumps(report) if args.json else "\n".join(f"{k:26} {v:.4g}" if isinstance(v, float) else f"{k:26} {v}" for k, v in report.items()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worker", action="store_true", help="PyTorch alone, one line of JSON")
    parser.add_argument("--woolshed", default="target/release/woolshed", help="the program")
    parser.add_argument("--case", choices=CASES, default="small")
    share = lambda text: text if text in TARGETS else float(text)
    parser.add_argument("--keep", type=share, default=1.0, help="a share, or a target: " + ", ".join(TARGETS))
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="cpu or cuda:N, for both")
    parser.add_argument("--bf16", action="store_true", help="bf16 weights with f32 masters; always on cuda")
    parser.add_argument("--plain", action="store_true", help="PyTorch without any gates, for comparison")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    args = parser.parse_args()
    if args.worker:
        bf16 = args.bf16 or args.device.startswith("cuda")
        worker(args.case, args.keep, args.steps, args.threads, args.plain, args.device, bf16)
    else:
        beside(args)


if __name__ == "__main__":
    main()
