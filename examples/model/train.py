#!/usr/bin/env python3
"""Train the tavern model: train.py --out DIR [--steps N | --minutes M]. README.md says how it was called.

Writes DIR/weights-0.npz ... (float32, by GGUF name; in parts, each small) and DIR/train.json.
"""
import argparse
import json
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import batches
from network import Network, Shape, targets
from optimizer import Optimizer

DRAFT_SHARE = (1.0, 0.3, 0.1)      # weight of the model's own loss, of the first and of the second draft's


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--steps", type=int, help="steps to take; without it as many as fit --minutes")
    p.add_argument("--minutes", type=float, default=4.0)
    p.add_argument("--rows", type=int, default=32)
    p.add_argument("--length", type=int, default=2048)
    p.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 2))
    p.add_argument("--peak", type=float, default=1.0, help="scale of all learning rates")
    p.add_argument("--resume", type=Path, help="a folder with weights to go on from")
    p.add_argument("--first-batch", type=int, default=0)
    p.add_argument("--seed", type=int, default=1)
    return p.parse_args()


def load_weights(folder):
    out = {}
    for part in sorted(Path(folder).glob("weights-*.npz")):
        with np.load(part) as f:
            out.update({k: f[k] for k in f.files})
    return out


def save_weights(net, folder, parts=3):
    tensors = [(k.replace("/", "."), v.detach().float().cpu().numpy()) for k, v in net.tensors.items()]
    total = sum(v.nbytes for _, v in tensors)
    part, size, held = 0, 0, {}
    for name, v in tensors:
        held[name] = v
        size += v.nbytes
        if size * parts >= total * (part + 1) and part < parts - 1:
            np.savez(folder / f"weights-{part}.npz", **held)
            part, held = part + 1, {}
    np.savez(folder / f"weights-{part}.npz", **held)


def loss_of(net, tokens, docs, weights):
    """-> (what is minimised, [mean loss of the model and of each draft])"""
    parts = []
    for ahead, logits in enumerate(net.all_logits(tokens, docs), 1):
        goal, weight = targets(tokens, docs, weights, ahead)
        each = F.cross_entropy(logits.float().flatten(0, 1), goal.flatten(), reduction="none")
        parts.append((each * weight.flatten()).sum() / weight.sum())
    return sum(s * p for s, p in zip(DRAFT_SHARE, parts)), torch.stack([p.detach() for p in parts])


class Step:
    """One optimisation step on fixed buffers; on a GPU recorded once as a CUDA graph and replayed."""

    def __init__(self, net, rows, length, device):
        self.net, self.cuda = net, device.type == "cuda"
        self.tokens = torch.zeros(rows, length, dtype=torch.long, device=device)
        self.docs = torch.zeros(rows, length, dtype=torch.int32, device=device)
        self.weights = torch.zeros(rows, length, device=device)
        self.rate = torch.zeros((), device=device)
        self.losses = torch.zeros(3, device=device)
        named = [(k.replace("/", "."), p) for k, p in net.tensors.items()]
        self.optimizer = Optimizer(named, self.rate)
        self.graph = None

    def fill(self, batch, rate):
        for buffer, a in zip((self.tokens, self.docs, self.weights), batch):
            buffer.copy_(torch.from_numpy(a).to(self.tokens.device, non_blocking=True))
        self.rate.fill_(rate)

    def compute(self):
        for p in self.net.parameters():
            p.grad = None
        with torch.autocast(self.tokens.device.type, dtype=torch.bfloat16, enabled=self.cuda, cache_enabled=False):
            loss, parts = loss_of(self.net, self.tokens, self.docs, self.weights)
        loss.backward()
        self.optimizer.step()
        self.losses.copy_(parts)

    def record(self, warm_up=3):
        """Takes `warm_up` steps on the batch at hand, then records one."""
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(warm_up):
                self.compute()
        torch.cuda.current_stream().wait_stream(aside)
        torch.cuda.synchronize()
        print(f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB of GPU memory at most, loss {self.losses.tolist()}", flush=True)
        torch.cuda.empty_cache()             # recording takes a memory pool of its own
        try:
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.compute()
        except Exception as e:  # a step that can't be recorded still runs, only slower
            print(f"no CUDA graph: {e}", flush=True)
            self.graph = None
            torch.cuda.synchronize()

    def run(self):
        if self.graph is not None:
            self.graph.replay()
        else:
            self.compute()


def schedule(step, steps):
    """Up in 40 steps, level, and down to nothing over the last 70 %."""
    left = (steps - step) / steps
    return min(1.0, (step + 1) / 40, left / 0.7)


@torch.no_grad()
def evaluate(net, device, rows, length, count=4):
    """Held-out loss and accuracy on answers, and how often the drafts agree with the model's own greedy choice."""
    total = np.zeros(8)
    for batch in batches.stream(0, count, rows, length, 1, batches.HELD_OUT):
        tokens, docs, weights = (torch.from_numpy(a).to(device) for a in batch)
        tokens, answers = tokens.long(), (weights == 1).float()
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            logits = net.all_logits(tokens, docs)
        goal, w = targets(tokens, docs, answers, 1)
        loss = F.cross_entropy(logits[0].float().flatten(0, 1), goal.flatten(), reduction="none").view_as(w)
        best = [x.argmax(-1) for x in logits]
        total[:3] += [w.sum().item(), (loss * w).sum().item(), ((best[0] == goal) * w).sum().item()]
        _, w2 = targets(tokens, docs, answers, 2)
        ok1 = best[1] == F.pad(best[0][:, 1:], (0, 1))
        total[3:5] += [w2.sum().item(), (ok1 * w2).sum().item()]
        _, w3 = targets(tokens, docs, answers, 3)
        ok2 = best[2] == F.pad(best[0][:, 2:], (0, 2))
        total[5:7] += [(ok1 * w3).sum().item(), (ok1 * ok2 * w3).sum().item()]
    return dict(answer_tokens=int(total[0]), loss=total[1] / total[0], accuracy=total[2] / total[0],
                accepted_first=total[4] / total[3], accepted_second_given_first=total[6] / total[5])


def main():
    a = arguments()
    a.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(a.seed)
    started = time.time()
    feed = batches.stream(a.first_batch, 1 << 30, a.rows, a.length, a.workers, a.seed << 50)
    batch = next(feed)                       # the workers start before anything is on the GPU
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_float32_matmul_precision("high")
    net = Network(Shape(vocab=len(batches.tokenizer())), a.seed)
    if a.resume:
        known = load_weights(a.resume)
        for name, p in net.tensors.items():
            p.data.copy_(torch.from_numpy(known[name.replace("/", ".")]))
    net.to(device)
    print(f"{sum(p.numel() for p in net.parameters()):,} parameters, {a.rows} x {a.length} tokens a step, on {device}", flush=True)
    step = Step(net, a.rows, a.length, device)
    steps, done, log, since = a.steps, 0, [], None
    while steps is None or done < steps:
        step.fill(batch, a.peak * schedule(done, steps or 10**6))
        if step.cuda and done == 0:
            step.record()
        step.run()
        done += 1
        if done == 5:
            step.losses.tolist()
            since = time.time()
        if done == 25 and steps is None:
            step.losses.tolist()
            each = (time.time() - since) / 20
            steps = max(30, done + int((a.minutes * 60 - (time.time() - started)) / each))
            print(f"{each * 1000:.0f} ms a step, {a.rows * a.length / each:,.0f} tokens/s: {steps} steps", flush=True)
        if done % 50 == 0 or done < 4:
            losses = step.losses.tolist()
            log.append([done, *losses])
            print(f"step {done} of {steps}: loss " + " ".join(f"{x:.4f}" for x in losses) + f", {time.time() - started:.0f} s", flush=True)
            if not math.isfinite(losses[0]):
                raise SystemExit("the loss is not finite")
        if steps and done == int(steps * 0.75):
            save_weights(net, a.out)
        if steps is None or done < steps:
            batch = next(feed)
    save_weights(net, a.out)
    seconds = time.time() - started
    report = dict(steps=done, rows=a.rows, length=a.length, tokens=done * a.rows * a.length, seconds=seconds, device=str(device),
                  held_out=evaluate(net, device, min(a.rows, 16), a.length), losses=log)
    (a.out / "train.json").write_text(json.dumps(report, indent=1))
    print(json.dumps({k: v for k, v in report.items() if k != "losses"}), flush=True)
    feed.close()


if __name__ == "__main__":
    main()
