#!/usr/bin/env python3
"""Quantise trained weights and write the GGUF: export.py WEIGHTS_DIR OUT.gguf

Matrices become Q6_K (embedding, eh_proj, beta and alpha Q8_0); norms, conv1d, dt and a stay F32. Needs numpy only.
"""
import struct
import sys
from pathlib import Path

import numpy as np

from bpe import Tokenizer

HERE = Path(__file__).parent
F32, Q8_0, Q6_K = 0, 8, 14
EPS, ROPE_BASE, CONTEXT, INTERVAL, STATE, ROT = 1e-6, 10000.0, 4096, 4, 128, 16
U32, I32, FLOAT, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9


def q8_0(w):
    """Blocks of 32: a half-precision scale and 32 signed bytes."""
    x = w.reshape(-1, 32)
    scale = (np.abs(x).max(1) / 127).astype(np.float16)
    inverse = np.divide(1, scale.astype(np.float32), out=np.zeros(len(x), np.float32), where=scale != 0)
    out = np.empty((len(x), 34), np.uint8)
    out[:, :2] = scale[:, None].view(np.uint8)
    out[:, 2:] = np.clip(np.rint(x * inverse[:, None]), -127, 127).astype(np.int8).view(np.uint8)
    return out


def group_scales(x):
    """x [n, 16]: the scale with the least squared error out of some, for values -32 .. 31 (so its sign matters)."""
    peak = np.take_along_axis(x, np.abs(x).argmax(1)[:, None], 1)[:, 0]
    best, error = np.zeros(len(x), np.float32), np.full(len(x), np.inf, np.float32)
    for steps in np.arange(-34.0, 34.5, 0.5, dtype=np.float32):
        if abs(steps) < 28:
            continue
        scale = peak / steps
        safe = np.where(scale == 0, 1, scale)
        q = np.clip(np.rint(x / safe[:, None]), -32, 31)
        # with the rounded values fixed, the best scale is a projection
        square = (q * q).sum(1)
        fit = np.where(square > 0, (x * q).sum(1) / np.where(square > 0, square, 1), 0)
        e = ((x - fit[:, None] * q) ** 2).sum(1)
        better = e < error
        best[better], error[better] = fit[better], e[better]
    return best


def q6_k(w):
    """Blocks of 256: 16 groups of 16 six-bit values, a signed byte of scale each, one half-precision scale for all."""
    x = np.ascontiguousarray(w, np.float32).reshape(-1, 16, 16)
    scales = group_scales(x.reshape(-1, 16)).reshape(-1, 16)
    peak = np.take_along_axis(scales, np.abs(scales).argmax(1)[:, None], 1)[:, 0]
    d = (peak / -128).astype(np.float16)
    wide = np.where(d == 0, 1, d.astype(np.float32))
    s = np.clip(np.rint(scales / wide[:, None]), -128, 127)
    step = wide[:, None] * s
    safe = np.where(step == 0, 1, step)
    q = np.where(step[..., None] == 0, 0, np.clip(np.rint(x / safe[..., None]), -32, 31))
    # two halves of 128 values; in each, four runs of 32 share the low-nibble bytes pairwise and the high-bit bytes
    q = (q + 32).astype(np.uint8).reshape(-1, 2, 4, 32)
    out = np.empty((len(x), 210), np.uint8)
    low = np.stack([(q[:, :, 0] & 15) | ((q[:, :, 2] & 15) << 4), (q[:, :, 1] & 15) | ((q[:, :, 3] & 15) << 4)], 2)
    high = (q[:, :, 0] >> 4) | ((q[:, :, 1] >> 4) << 2) | ((q[:, :, 2] >> 4) << 4) | ((q[:, :, 3] >> 4) << 6)
    out[:, :128], out[:, 128:192] = low.reshape(-1, 128), high.reshape(-1, 64)
    out[:, 192:208] = s.astype(np.int8).view(np.uint8)
    out[:, 208:] = d[:, None].view(np.uint8)
    return out


def type_of(name, shape):
    if len(shape) == 1 or "conv1d" in name:
        return F32
    return Q8_0 if name.split(".")[-2] in ("token_embd", "eh_proj", "ssm_beta", "ssm_alpha") else Q6_K


def encode(kind, w):
    w = np.ascontiguousarray(w, np.float32)
    return {F32: lambda x: x, Q8_0: q8_0, Q6_K: q6_k}[kind](w).tobytes()


def string(s):
    b = s.encode()
    return struct.pack("<Q", len(b)) + b


def field(key, kind, value):
    out = string(key) + struct.pack("<I", kind)
    if kind == STRING:
        return out + string(value)
    if kind == ARRAY:
        text = isinstance(value[0], str)
        out += struct.pack("<IQ", STRING if text else I32, len(value))
        return out + (b"".join(map(string, value)) if text else np.asarray(value, np.int32).tobytes())
    return out + struct.pack({U32: "<I", FLOAT: "<f", BOOL: "<?"}[kind], value)


def metadata(w, tokenizer):
    layers = max(int(n.split(".")[1]) for n in w if n.startswith("blk.")) + 1
    embd = w["output_norm.weight"].size
    head = w["blk.3.attn_q_norm.weight"].size
    v_heads = w["blk.0.ssm_a"].size
    inner = v_heads * STATE
    shown, kinds, merges = tokenizer.vocabulary()
    a = "qwen35."
    rows = [("general.architecture", STRING, "qwen35"), ("general.name", STRING, "Tavern"), ("general.type", STRING, "model"),
            ("general.description", STRING, "A tavern keeper: a small Gated DeltaNet hybrid that chats, thinks, counts coins and calls tools"),
            ("general.license", STRING, "apache-2.0"), ("general.alignment", U32, 32),
            ("general.file_type", U32, 18), ("general.quantization_version", U32, 2),
            (a + "block_count", U32, layers), (a + "nextn_predict_layers", U32, 1), (a + "context_length", U32, CONTEXT),
            (a + "embedding_length", U32, embd), (a + "feed_forward_length", U32, w["blk.0.ffn_gate.weight"].shape[0]),
            (a + "full_attention_interval", U32, INTERVAL),
            (a + "attention.head_count", U32, w["blk.3.attn_q.weight"].shape[0] // (2 * head)),
            (a + "attention.head_count_kv", U32, w["blk.3.attn_k.weight"].shape[0] // head),
            (a + "attention.key_length", U32, head), (a + "attention.value_length", U32, head),
            (a + "attention.layer_norm_rms_epsilon", FLOAT, EPS), (a + "rope.freq_base", FLOAT, ROPE_BASE),
            (a + "rope.dimension_count", U32, ROT), (a + "rope.dimension_sections", ARRAY, [3, 3, 2, 0]),
            (a + "ssm.conv_kernel", U32, w["blk.0.ssm_conv1d.weight"].shape[1]), (a + "ssm.inner_size", U32, inner),
            (a + "ssm.state_size", U32, STATE), (a + "ssm.time_step_rank", U32, v_heads),
            (a + "ssm.group_count", U32, (w["blk.0.attn_qkv.weight"].shape[0] - inner) // (2 * STATE)),
            ("tokenizer.ggml.model", STRING, "gpt2"), ("tokenizer.ggml.pre", STRING, "qwen35"),
            ("tokenizer.ggml.tokens", ARRAY, shown), ("tokenizer.ggml.token_type", ARRAY, kinds), ("tokenizer.ggml.merges", ARRAY, merges),
            ("tokenizer.ggml.eos_token_id", U32, tokenizer.im_end), ("tokenizer.ggml.padding_token_id", U32, tokenizer.end_of_text),
            ("tokenizer.ggml.add_bos_token", BOOL, False),
            ("tokenizer.chat_template", STRING, (HERE / "chat_template.jinja").read_text())]
    return rows


def write(w, path):
    w = {n: (-np.exp(x) if n.endswith("ssm_a") else x) for n, x in w.items()}       # the file holds -exp(A_log)
    rows = metadata(w, Tokenizer.load(HERE / "merges.json"))
    tensors = [(n, x.shape, type_of(n, x.shape), encode(type_of(n, x.shape), x)) for n, x in w.items()]
    info, at = [], 0
    for name, shape, kind, data in tensors:
        info.append(string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape[::-1], kind, at))
        at += (len(data) + 31) // 32 * 32
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(rows)) + b"".join(field(*r) for r in rows) + b"".join(info)
    with open(path, "wb") as f:
        f.write(head + b"\0" * (-len(head) % 32))
        for *_, data in tensors:
            f.write(data + b"\0" * (-len(data) % 32))
    size = Path(path).stat().st_size
    print(f"{path}: {size:,} bytes, {len(tensors)} tensors, {sum(x.size for x in w.values()):,} parameters")
    return size


if __name__ == "__main__":
    weights = {}
    for part in sorted(Path(sys.argv[1]).glob("weights-*.npz")):
        with np.load(part) as f:
            weights.update({k: f[k] for k in f.files})
    if write(weights, sys.argv[2]) > 8_000_000:
        raise SystemExit("more than 8 MB")
