"""Muon for the matrices, Adam for the rest, made of plain tensor operations so that a CUDA graph can hold a whole step.

Muon (Jordan et al. 2024) replaces a matrix's momentum by the nearest orthogonal matrix, found by five steps of a
Newton-Schulz iteration; matrices of one shape go through it together.
"""
import torch

_NS = (3.4445, -4.7750, 2.0315)


def orthogonal(x):
    """x [..., rows, cols] -> about U V^T of each matrix."""
    wide = x.shape[-2] <= x.shape[-1]
    x = (x if wide else x.transpose(-2, -1)).to(torch.bfloat16 if x.is_cuda else torch.float32)
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.transpose(-2, -1)
        x = _NS[0] * x + (_NS[1] * square + _NS[2] * square @ square) @ x
    return x if wide else x.transpose(-2, -1)


def takes_muon(name, p):
    return p.ndim == 2 and min(p.shape) >= 64 and not name.startswith("token_embd")


class Optimizer:
    """`rate` is a tensor on the device: one number that scales all learning rates."""

    def __init__(self, named, rate, muon_lr=0.02, adam_lr=0.004, decay=0.01):
        self.rate, self.muon_lr, self.adam_lr, self.decay = rate, muon_lr, adam_lr, decay
        groups = {}
        self.adam = []
        for name, p in named:
            if takes_muon(name, p):
                groups.setdefault(tuple(p.shape), []).append(p)
            else:
                self.adam.append((p, torch.zeros_like(p), torch.zeros_like(p)))
        self.muon = [(ps, torch.zeros(len(ps), *shape, device=ps[0].device)) for shape, ps in groups.items()]
        self.count = torch.zeros((), device=rate.device)

    @torch.no_grad()
    def step(self):
        self.count += 1
        for ps, momentum in self.muon:
            grad = torch.stack([p.grad for p in ps])
            momentum.lerp_(grad, 0.05)
            mixed = grad.lerp(momentum, 0.95)
            # batched products are slow on CPUs without MKL: there, one matrix after the other
            update = orthogonal(mixed).float() if mixed.is_cuda else [orthogonal(m) for m in mixed]
            scale = self.muon_lr * max(1.0, mixed.shape[1] / mixed.shape[2]) ** 0.5
            for p, u in zip(ps, update):
                p.mul_(1 - self.rate * (self.muon_lr * self.decay))
                p.sub_(u * (self.rate * scale))
        fix1, fix2 = 1 - 0.9 ** self.count, 1 - 0.98 ** self.count
        for p, first, second in self.adam:
            first.lerp_(p.grad, 0.1)
            second.lerp_(p.grad.square(), 0.02)
            p.sub_((first / fix1) / ((second / fix2).sqrt() + 1e-10) * (self.rate * self.adam_lr))
