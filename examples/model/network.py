"""The qwen35 hybrid in PyTorch, for training: three Gated DeltaNet layers, then one gated full-attention layer, repeated,
and one MTP block. Rows hold several documents each; nothing flows from one document of a row into the next.

Parameters carry the GGUF tensor names and shapes. The delta rule is the chunked form of "Gated Delta Networks"
(Yang, Kautz, Hatamizadeh 2024): inside a chunk everything is a matrix product, and from chunk to chunk the state
follows S' = A S + B with A and B made beforehand, so that only one small product per chunk is sequential.
"""
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

CHUNK = 64
FORGET = -40.0          # log decay at a document's first token: exp(-40) leaves nothing of the state before


@dataclass
class Shape:
    vocab: int = 2048
    layers: int = 8
    embd: int = 256
    ff: int = 512
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    rot: int = 16
    k_heads: int = 2
    v_heads: int = 4
    state: int = 128
    conv: int = 4
    interval: int = 4
    rope_base: float = 10000.0
    eps: float = 1e-6
    context: int = 4096

    @property
    def key_width(self):
        return self.k_heads * self.state

    @property
    def value_width(self):
        return self.v_heads * self.state


def tensor_shapes(s):
    """GGUF name -> shape, outermost first, of every tensor of the model."""
    out = {"token_embd.weight": (s.vocab, s.embd), "output_norm.weight": (s.embd,)}
    qkv = 2 * s.key_width + s.value_width
    for il in range(s.layers + 1):
        p = f"blk.{il}."
        out[p + "attn_norm.weight"] = out[p + "post_attention_norm.weight"] = (s.embd,)
        if il == s.layers or (il + 1) % s.interval == 0:
            out[p + "attn_q.weight"] = (2 * s.heads * s.head_dim, s.embd)
            out[p + "attn_k.weight"] = out[p + "attn_v.weight"] = (s.kv_heads * s.head_dim, s.embd)
            out[p + "attn_output.weight"] = (s.embd, s.heads * s.head_dim)
            out[p + "attn_q_norm.weight"] = out[p + "attn_k_norm.weight"] = (s.head_dim,)
        else:
            out[p + "attn_qkv.weight"] = (qkv, s.embd)
            out[p + "attn_gate.weight"] = (s.value_width, s.embd)
            out[p + "ssm_conv1d.weight"] = (qkv, s.conv)
            out[p + "ssm_dt.bias"] = out[p + "ssm_a"] = (s.v_heads,)
            out[p + "ssm_beta.weight"] = out[p + "ssm_alpha.weight"] = (s.v_heads, s.embd)
            out[p + "ssm_norm.weight"] = (s.state,)
            out[p + "ssm_out.weight"] = (s.embd, s.value_width)
        out[p + "ffn_gate.weight"] = out[p + "ffn_up.weight"] = (s.ff, s.embd)
        out[p + "ffn_down.weight"] = (s.embd, s.ff)
    p = f"blk.{s.layers}.nextn."
    out[p + "eh_proj.weight"] = (s.embd, 2 * s.embd)
    out[p + "enorm.weight"] = out[p + "hnorm.weight"] = out[p + "shared_head_norm.weight"] = (s.embd,)
    return out


def rms(x, weight, eps):
    x = x.float()
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight


def unit(x, eps):
    x = x.float()
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + eps)


class UnitLowerInverse(torch.autograd.Function):
    """(I + L)^-1 of strictly lower triangular L [n, C, C]: 16 by 16 blocks by substitution, then merged pairwise."""

    @staticmethod
    def forward(ctx, low):
        n, c, _ = low.shape
        block = min(16, c)
        inverse = torch.zeros_like(low)
        parts = torch.stack([low[:, i:i + block, i:i + block] for i in range(0, c, block)], 1)
        rows = torch.eye(block, dtype=low.dtype, device=low.device).expand_as(parts).clone()
        for i in range(1, block):
            rows[:, :, i] -= (parts[:, :, i, :i, None] * rows[:, :, :i]).sum(2)
        for j, i in enumerate(range(0, c, block)):
            inverse[:, i:i + block, i:i + block] = rows[:, j]
        while block < c:
            for i in range(0, c, 2 * block):
                m, e = i + block, i + 2 * block
                inverse[:, m:e, i:m] = -inverse[:, m:e, m:e] @ (low[:, m:e, i:m] @ inverse[:, i:m, i:m])
            block *= 2
        ctx.save_for_backward(inverse)
        return inverse

    @staticmethod
    def backward(ctx, grad):
        (inverse,) = ctx.saved_tensors
        t = inverse.transpose(1, 2)
        return -(t @ grad @ t).tril(-1)


def delta_rule(q, k, v, beta, log_decay):
    """q, k, v [B, H, T, D] with unit keys; beta, log_decay [B, H, T]; T a multiple of CHUNK. -> [B, H, T, D]"""
    b, h, t, d = q.shape
    n = t // CHUNK
    q, k, v = (x.reshape(b * h * n, CHUNK, d) for x in (q, k, v))
    beta = beta.reshape(b * h * n, CHUNK, 1)
    decay = log_decay.reshape(b * h * n, CHUNK).cumsum(1)
    # exp of the masked-out upper half would overflow: those differences are positive
    between = (decay[:, :, None] - decay[:, None, :]).tril().exp().tril()
    since_start = decay.exp()[..., None]
    to_end = (decay[:, -1:] - decay).exp()[..., None]
    solve = UnitLowerInverse.apply((beta * (k @ k.transpose(1, 2)) * between).tril(-1))
    fresh = solve @ (beta * v)                                  # what is written if the state were zero
    erase = solve @ (beta * since_start * k)                    # what the state before takes from it
    end_keys = (k * to_end).transpose(1, 2)
    keep = torch.eye(d, device=q.device, dtype=q.dtype) * decay[:, -1].exp()[:, None, None] - end_keys @ erase
    add = end_keys @ fresh
    keep, add = (x.reshape(b * h, n, d, d).unbind(1) for x in (keep, add))
    state, states = torch.zeros_like(add[0]), []
    for i in range(n):
        states.append(state)
        state = torch.baddbmm(add[i], keep[i], state)
    state = torch.stack(states, 1).reshape(b * h * n, d, d)
    delta = fresh - erase @ state
    out = (since_start * q) @ state + ((q @ k.transpose(1, 2)) * between) @ delta
    return out.reshape(b, h, t, d)


def attend(q, k, v, mask):
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    scores = (q @ k.transpose(-1, -2)) / math.sqrt(q.shape[-1])
    return scores.masked_fill(~mask, float("-inf")).softmax(-1) @ v


class Network(nn.Module):
    """Tensors are looked up by their GGUF name: `self.w("blk.0.attn_q.weight")`."""

    def __init__(self, shape, seed=1):
        super().__init__()
        self.shape = shape
        self.tensors = nn.ParameterDict()
        generator = torch.Generator().manual_seed(seed)
        for name, size in tensor_shapes(shape).items():
            self.tensors[name.replace(".", "/")] = nn.Parameter(self._start(name, size, generator))

    @staticmethod
    def _start(name, size, generator):
        if name.endswith("norm.weight"):
            return torch.ones(size)
        if name.endswith("ssm_a"):                     # kept as log: the file holds -exp of it
            return torch.empty(size).uniform_(1, 16, generator=generator).log()
        if name.endswith("ssm_dt.bias"):
            step = torch.empty(size).uniform_(math.log(1e-3), math.log(1e-1), generator=generator).exp()
            return step + torch.log(-torch.expm1(-step))
        if name.endswith("ssm_conv1d.weight"):
            return torch.empty(size).uniform_(-0.5, 0.5, generator=generator)
        if name.endswith(("attn_output.weight", "ssm_out.weight", "ffn_down.weight")):
            return torch.zeros(size)
        std = 0.02 if name == "token_embd.weight" else 1 / math.sqrt(size[-1]) / 2
        return torch.randn(size, generator=generator) * std

    def w(self, name):
        return self.tensors[name.replace(".", "/")]

    def _norm(self, x, name):
        return rms(x, self.w(name), self.shape.eps)

    def _rope(self, x, offset):
        s, t = self.shape, x.shape[-2]
        half = s.rot // 2
        f = s.rope_base ** (-torch.arange(half, device=x.device, dtype=torch.float32) * 2 / s.rot)
        a = (torch.arange(t, device=x.device, dtype=torch.float32) + offset)[:, None] * f
        c, n, x = a.cos(), a.sin(), x.float()
        return torch.cat([x[..., :half] * c - x[..., half:s.rot] * n, x[..., half:s.rot] * c + x[..., :half] * n, x[..., s.rot:]], -1)

    def _attention_inputs(self, p, x, offset):
        s = self.shape
        b, t, _ = x.shape
        q, gate = F.linear(x, self.w(p + "attn_q.weight")).view(b, t, s.heads, 2 * s.head_dim).chunk(2, -1)
        k = F.linear(x, self.w(p + "attn_k.weight")).view(b, t, s.kv_heads, s.head_dim)
        v = F.linear(x, self.w(p + "attn_v.weight")).view(b, t, s.kv_heads, s.head_dim)
        q = self._rope(self._norm(q, p + "attn_q_norm.weight").transpose(1, 2), offset).to(v.dtype)
        k = self._rope(self._norm(k, p + "attn_k_norm.weight").transpose(1, 2), offset).to(v.dtype)
        group = s.heads // s.kv_heads
        return q, k.repeat_interleave(group, 1), v.transpose(1, 2).repeat_interleave(group, 1), gate.reshape(b, t, -1)

    def _attention(self, p, x, mask, shared=None):
        """`shared`: keys and values that the mask's first half of columns refers to; the second half are x's own,
        which stand one position further on."""
        q, k, v, gate = self._attention_inputs(p, x, 0 if shared is None else 1)
        own = (k, v)
        if shared is not None:
            k, v = torch.cat([shared[0], k], 2), torch.cat([shared[1], v], 2)
        o = attend(q, k, v, mask).transpose(1, 2).flatten(2)
        return F.linear(o * gate.sigmoid(), self.w(p + "attn_output.weight")), own

    def _deltanet(self, p, x, same, first):
        s = self.shape
        b, t, _ = x.shape
        qkv = F.linear(x, self.w(p + "attn_qkv.weight"))
        z = F.linear(x, self.w(p + "attn_gate.weight")).view(b, t, s.v_heads, s.state)
        weight = self.w(p + "ssm_conv1d.weight").to(qkv.dtype)
        mixed = qkv * weight[:, -1]
        for back in range(1, s.conv):                  # a tap that reaches into the document before counts as zero
            past = F.pad(qkv, (0, 0, back, 0))[:, :t]
            mixed = mixed + past * (same[back - 1] * weight[:, -1 - back])
        mixed = F.silu(mixed)
        with torch.autocast(x.device.type, enabled=False):
            x32, mixed = x.float(), mixed.float()
            q, k, v = mixed.split([s.key_width, s.key_width, s.value_width], -1)
            tiles = s.v_heads // s.k_heads             # value head i reads key head i mod k_heads
            q = (unit(q.view(b, t, s.k_heads, s.state), s.eps) / math.sqrt(s.state)).repeat(1, 1, tiles, 1).transpose(1, 2)
            k = unit(k.view(b, t, s.k_heads, s.state), s.eps).repeat(1, 1, tiles, 1).transpose(1, 2)
            v = v.view(b, t, s.v_heads, s.state).transpose(1, 2)
            beta = F.linear(x32, self.w(p + "ssm_beta.weight")).sigmoid().transpose(1, 2)
            step = F.softplus(F.linear(x32, self.w(p + "ssm_alpha.weight")) + self.w(p + "ssm_dt.bias"))
            decay = (-self.w(p + "ssm_a").exp() * step).masked_fill(first[..., None], FORGET).transpose(1, 2)
            o = delta_rule(q, k, v, beta, decay).transpose(1, 2)
            o = rms(o, self.w(p + "ssm_norm.weight"), s.eps) * F.silu(z.float())
        return F.linear(o.flatten(2), self.w(p + "ssm_out.weight"))

    def _feed_forward(self, p, x):
        h = self._norm(x, p + "post_attention_norm.weight")
        return x + F.linear(F.silu(F.linear(h, self.w(p + "ffn_gate.weight"))) * F.linear(h, self.w(p + "ffn_up.weight")), self.w(p + "ffn_down.weight"))

    def hidden(self, tokens, docs):
        """-> (final-norm hidden states [B, T, E], what the MTP pass needs of the documents)"""
        s = self.shape
        t = tokens.shape[1]
        same = [(docs == F.pad(docs, (back, 0), value=-2)[:, :t])[..., None] for back in range(1, s.conv)]
        first = ~same[0][..., 0]
        causal = torch.ones(t, t, dtype=torch.bool, device=tokens.device).tril()
        mask = (docs[:, :, None] == docs[:, None, :]) & causal
        x = F.embedding(tokens, self.w("token_embd.weight"))
        for il in range(s.layers):
            p = f"blk.{il}."
            h = self._norm(x, p + "attn_norm.weight")
            x = x + (self._attention(p, h, mask[:, None])[0] if (il + 1) % s.interval == 0 else self._deltanet(p, h, same, first))
            x = self._feed_forward(p, x)
        return self._norm(x, "output_norm.weight"), mask

    def logits(self, hidden):
        return F.linear(hidden, self.w("token_embd.weight"))

    def draft(self, hidden, tokens, mask, shared=None):
        """The MTP block: hidden states at i and tokens at i + 1 -> its normed output and its keys and values.
        With `shared` it is the second draft in a row: `hidden` is the first one's output and earlier keys are the first's."""
        p = f"blk.{self.shape.layers}."
        e = self._norm(F.embedding(tokens, self.w("token_embd.weight")), p + "nextn.enorm.weight")
        x = F.linear(torch.cat([e, self._norm(hidden, p + "nextn.hnorm.weight")], -1), self.w(p + "nextn.eh_proj.weight"))
        if shared is None:
            mask = mask[:, None]
        else:
            own = torch.eye(x.shape[1], dtype=torch.bool, device=x.device).expand_as(mask)
            mask = torch.cat([mask, own], 2)[:, None]
        mixed, keys = self._attention(p, self._norm(x, p + "attn_norm.weight"), mask, shared)
        return self._norm(self._feed_forward(p, x + mixed), p + "nextn.shared_head_norm.weight"), keys

    def all_logits(self, tokens, docs, drafts=2):
        """Logits that guess token i+1 from row i, i+2 from the first draft's row i, i+3 from the second's."""
        hidden, mask = self.hidden(tokens, docs)
        out = [self.logits(hidden)]
        ahead, keys = hidden, None
        for step in range(1, drafts + 1):
            # row i of draft `step` reads token i + step; the last rows read a stand-in and are never scored
            read = F.pad(tokens[:, step:], (0, step))
            ahead, own = self.draft(ahead, read, mask, keys)
            keys = own if keys is None else keys
            out.append(self.logits(ahead))
        return out


def targets(tokens, docs, weights, ahead):
    """What row i should guess `ahead` tokens on, and how much it counts (nothing across documents)."""
    t = tokens.shape[1]
    goal = F.pad(tokens[:, ahead:], (0, ahead))
    weight = F.pad(weights[:, ahead:], (0, ahead)) * (docs == F.pad(docs[:, ahead:], (0, ahead), value=-3)) * (docs >= 0)
    return goal[:, :t], weight[:, :t]
