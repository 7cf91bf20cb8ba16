#!/usr/bin/env python3
"""The pruning run of the quickstart, in PyTorch: what `beside.rs` sets ours against.

    python quickstart_run.py FOLDER --threads 2

FOLDER is what `cargo bench -p woolshed-engine --bench beside -- run` writes: the demo model as a checkpoint, the
rows of each domain, and `run.json` with the target shape and the options. The schedule is the same: the source's
losses first, then steps with gates, constraints and dynamic loading, and an evaluation of every domain
under the gates as they are every so many steps. Noise and rows are drawn by PyTorch, so the losses are alike, not
equal. PyTorch gets its best eager form, as in `masked_step.py`.

Prints one line of JSON. Needs torch and numpy.
"""

import argparse
import json
import math
import os
import time

import numpy as np
import torch
import torch.nn.functional as F

BETA, LOW, HIGH, EPS, SLOPE = 2.0 / 3.0, -0.1, 1.1, 1e-6, 0.8
BOUNDS = (math.log(0.01), math.log(100.0))
# Rows of an evaluation that are computed at once, in tokens.
TOKENS_AT_ONCE = 4096


def checkpoint(path):
    """The tensors of a safetensors file of f32."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        data = file.read()
    out = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            flat = np.frombuffer(data[begin:end], dtype="<f4").copy()
            out[name] = torch.nn.Parameter(torch.from_numpy(flat.reshape(entry["shape"])))
    return out


class Gates:
    def __init__(self, source, target):
        sizes = {
            "layer": (1, source["layers"], target["layers"]),
            "head": (source["layers"], source["kv_heads"], target["kv_heads"]),
            "intermediate": (source["layers"], source["intermediate"], target["intermediate"]),
            "hidden": (1, source["hidden"], target["hidden"]),
        }
        sizes = {kind: s for kind, s in sizes.items() if s[2] < s[1]}
        self.goal = {kind: 1 - keep / width for kind, (_, width, keep) in sizes.items()}
        self.log_alpha = {
            kind: torch.nn.Parameter(5.0 + 0.01 * torch.randn(rows, width)) for kind, (rows, width, _) in sizes.items()
        }
        self.multipliers = {kind: torch.nn.Parameter(torch.zeros(2)) for kind in sizes}

    def clamp(self):
        with torch.no_grad():
            for a in self.log_alpha.values():
                a.clamp_(*BOUNDS)

    def sample(self):
        z = {}
        for kind, a in self.log_alpha.items():
            noise = EPS + (1 - 2 * EPS) * torch.rand_like(a)
            s = torch.sigmoid((noise.log() - (1 - noise).log() + a) / BETA)
            z[kind] = (s * (HIGH - LOW) + LOW).clamp(0, 1)
        return z

    def closed(self, a):
        x = -LOW / (HIGH - LOW)
        return torch.sigmoid(math.log(x / (1 - x)) * BETA - a).clamp(EPS, 1 - EPS)

    def constraints(self, part):
        total = 0.0
        for kind, a in self.log_alpha.items():
            gap = self.closed(a).mean(-1) - self.goal[kind] * part
            pair = self.multipliers[kind]
            total = total + (pair[0] * gap + pair[1] * gap**2).mean()
        return total

    def now(self):
        """Deterministic values: as many zeros as are expected."""
        z = {}
        with torch.no_grad():
            for kind, a in self.log_alpha.items():
                a = a.clamp(*BOUNDS)
                value = torch.sigmoid(a / BETA * SLOPE)
                zeros = self.closed(a).sum(-1).round().long()
                rank = value.argsort(dim=-1, stable=True).argsort(-1)
                z[kind] = torch.where(rank < zeros[:, None], torch.zeros_like(value), value)
        return z


class Llama:
    def __init__(self, weights, config, tokens):
        self.w, self.config, self.tokens = weights, config, tokens
        self.eps = config["rms_norm_eps"]
        self.heads, self.kv = config["num_attention_heads"], config["num_key_value_heads"]
        self.E = config.get("head_dim") or config["hidden_size"] // self.heads
        inverse = config["rope_theta"] ** (-torch.arange(0, self.E, 2, dtype=torch.float64) / self.E)
        angles = torch.arange(tokens, dtype=torch.float64)[:, None] * inverse[None]
        self.cos = torch.cat([angles.cos()] * 2, -1).float()
        self.sin = torch.cat([angles.sin()] * 2, -1).float()

    def rope(self, x):
        a, b = x[..., : self.E // 2], x[..., self.E // 2 :]
        return x * self.cos + torch.cat([-b, a], -1) * self.sin

    def logits(self, ids, z):
        w, T, D = self.w, self.tokens, self.w["model.norm.weight"].numel()
        B, E, group = ids.shape[0], self.E, self.heads // self.kv
        zh = z["hidden"][0] if "hidden" in z else None
        mask, count = None, D
        if zh is not None:
            mask = (zh.detach() != 0).float()
            count = int(mask.sum())

        def rms(x, weight):
            if zh is None:
                return F.rms_norm(x, (D,), weight, self.eps)
            if count == D:
                return F.rms_norm(x, (D,), weight * zh, self.eps)
            variance = (x * x) @ mask / count
            return x * torch.rsqrt(variance + self.eps)[..., None] * (weight * zh)

        def out(o, l):
            factor = zh
            if "layer" in z:
                factor = z["layer"][0, l] if factor is None else factor * z["layer"][0, l]
            return o if factor is None else o * factor

        x = F.embedding(ids, w["model.embed_tokens.weight"])
        if zh is not None:
            x = x * zh
        for l in range(self.config["num_hidden_layers"]):
            at = f"model.layers.{l}."
            a = rms(x, w[at + "input_layernorm.weight"])
            q, k, v = (
                F.linear(a, w[f"{at}self_attn.{n}_proj.weight"]).view(B, T, -1, E).transpose(1, 2) for n in "qkv"
            )
            q, k = self.rope(q), self.rope(k)
            if group > 1:
                k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
            c = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)
            if "head" in z:
                c = c * z["head"][l].repeat_interleave(group)[:, None]
            x = x + out(F.linear(c.reshape(B, T, -1), w[at + "self_attn.o_proj.weight"]), l)
            b = rms(x, w[at + "post_attention_layernorm.weight"])
            m = F.silu(F.linear(b, w[at + "mlp.gate_proj.weight"])) * F.linear(b, w[at + "mlp.up_proj.weight"])
            if "intermediate" in z:
                m = m * z["intermediate"][l]
            x = x + out(F.linear(m, w[at + "mlp.down_proj.weight"]), l)
        head = w.get("lm_head.weight", w["model.embed_tokens.weight"])
        return F.linear(rms(x, w["model.norm.weight"]), head)

    def loss(self, ids, z):
        targets = torch.cat([ids[:, 1:], torch.full((ids.shape[0], 1), -100)], 1).view(-1)
        logits = self.logits(ids, z)
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets, ignore_index=-100)

    @torch.inference_mode()
    def losses(self, rows, z):
        """Mean loss of each domain; every row has as many targets."""
        some = max(1, TOKENS_AT_ONCE // self.tokens)
        of = []
        for ids in rows:
            parts = [(self.loss(part, z).item(), len(part)) for part in ids.split(some)]
            of.append(sum(loss * n for loss, n in parts) / len(ids))
        return of


def factor(step, warmup, total, floor):
    if step < warmup:
        return step / warmup
    return floor + (1 - floor) / 2 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(17)
    at = lambda name: os.path.join(args.folder, name)
    run = json.load(open(at("run.json")))
    config = json.load(open(at("model/config.json")))
    T, B, steps = run["seq_len"], run["batch"], run["steps"]
    rows = lambda name: torch.from_numpy(np.fromfile(at(name), dtype="<u4").astype(np.int64)).view(-1, T)
    train = [rows(f"{name}.train") for name in run["domains"]]
    held = [rows(f"{name}.eval") for name in run["domains"]]
    model = Llama(checkpoint(at("model/model.safetensors")), config, T)
    source = {
        "layers": config["num_hidden_layers"],
        "kv_heads": config["num_key_value_heads"],
        "intermediate": config["intermediate_size"],
        "hidden": config["hidden_size"],
    }

    process, wall = time.process_time(), time.perf_counter()
    evaluating = 0.0
    gates = Gates(source, run["target"])
    groups = [
        {"params": list(model.w.values()), "base": run["lr"]},
        {"params": list(gates.log_alpha.values()), "base": run["gate_lr"]},
        {"params": list(gates.multipliers.values()), "base": run["multiplier_lr"], "maximize": True},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0, fused=True)
    everything = [p for g in groups for p in g["params"]]
    n = len(train)
    weights = np.full(n, 1 / n)
    begin = time.perf_counter()
    reference = np.array(model.losses(held, {}))
    evaluating += time.perf_counter() - begin
    # Every epoch of a domain in an order of its own.
    queues = [[] for _ in range(n)]
    draws = np.random.default_rng(17)
    losses = []
    for k in range(steps):
        ids = []
        for d in draws.choice(n, B, p=weights):
            if not queues[d]:
                queues[d] = draws.permutation(len(train[d])).tolist()
            ids.append(train[d][queues[d].pop()])
        rate = factor(k, run["lr_warmup"], steps, run["lr_floor"])
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * rate
        gates.clamp()
        optimizer.zero_grad(set_to_none=True)
        loss = model.loss(torch.stack(ids), gates.sample())
        (loss + gates.constraints(min(1.0, k / run["sparsity_warmup"]))).backward()
        torch.nn.utils.clip_grad_norm_(everything, 1.0, foreach=True)
        optimizer.step()
        losses.append(loss.item())
        if (k + 1) % run["eval_every"] == 0:
            begin = time.perf_counter()
            now = np.array(model.losses(held, gates.now()))
            evaluating += time.perf_counter() - begin
            logits = np.log(weights) + run["eta"] * (now - reference)
            soft = np.exp(logits - logits.max())
            weights = (1 - run["smoothing"]) * soft / soft.sum() + run["smoothing"] / n
            weights /= weights.sum()
    print(json.dumps({
        "torch": torch.__version__,
        "process_seconds": time.process_time() - process,
        "wall_seconds": time.perf_counter() - wall,
        "evaluation_seconds": evaluating,
        "last_loss": sum(losses[-10:]) / len(losses[-10:]),
        "losses": dict(zip(run["domains"], now.tolist())),
        "mixture": dict(zip(run["domains"], weights.tolist())),
        "closed": {kind: gates.closed(a).mean().item() for kind, a in gates.log_alpha.items()},
    }))


if __name__ == "__main__":
    main()
