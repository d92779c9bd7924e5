#!/usr/bin/env python3
"""Makes the golden models: tiny random qwen35 GGUF files and the logits that a float64 forward pass gives them.

    make_golden.py [FOLDER]                          writes the set (into this script's folder)
    make_golden.py --check MODEL.gguf GOLDEN.safetensors
                                                     the forward pass of any small model against stored logits

Together the models hold every tensor type that Inlay reads, a separate and a tied head, models with and without an
MTP block, per-tensor scales, and a vocabulary or none. Beside each NAME.gguf, NAME.golden.safetensors has
`tokens` I32 [T], `logits` F32 [T, vocabulary] and, with an MTP block, `mtp_logits` F32 [T - 1, vocabulary], whose
row i is the block fed token i + 1 and the final-normed hidden state i. Everything is computed in float64 from the
dequantised weights and rounded once. Needs numpy; takes a few seconds.
"""
import json
import os
import struct
import sys

import numpy as np

# ---------------------------------------------------------------------------------------------------------------
# Tensor types. A decoder takes blocks, uint8 [n, block bytes], and gives float64 [n, block elements].

LAST = np.arange(256)                       # element numbers of a 256-element block
HALF, QUARTER, LANE = LAST // 128, LAST % 128 // 32, LAST % 32
SIXTEENTH, EIGHTH = LAST // 16, LAST // 32  # which sub-block of 16, of 32
IQ4_LEVELS = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float64)
E2M1_LEVELS = np.array([0, .5, 1, 1.5, 2, 3, 4, 6, 0, -.5, -1, -1.5, -2, -3, -4, -6])


def half(blocks, at):
    """The float16 at byte `at` of each block, [n, 1]."""
    return blocks[:, at:at + 2].copy().view("<f2").astype(np.float64)


def bits(blocks, where, shift, mask):
    """An unsigned field of each element: byte `where`, shifted right and masked."""
    return ((blocks[:, where].astype(np.int64) >> shift) & mask).astype(np.float64)


def nibbles(blocks, at, count):
    """`count` 4-bit codes: the low halves of the bytes first, then the high halves."""
    i = np.arange(count)
    return bits(blocks, at + i % (count // 2), 4 * (i // (count // 2)), 15)


def fifth_bits(blocks, at):
    i = np.arange(32)
    return 16 * bits(blocks, at + i // 8, i % 8, 1)


def six_bit_pairs(blocks, at):
    """Scales and minima of Q4_K and Q5_K: eight of each, 6 bits wide, in 12 bytes. Each [n, 8]."""
    s = blocks[:, at:at + 12].astype(np.int64)
    low, high = s[:, 0:4], s[:, 4:8]
    scales = np.concatenate([low & 63, (s[:, 8:12] & 15) | (low >> 6 << 4)], 1)
    minima = np.concatenate([high & 63, (s[:, 8:12] >> 4) | (high >> 6 << 4)], 1)
    return scales.astype(np.float64), minima.astype(np.float64)


def decode_q2_k(b):
    q = bits(b, 16 + 32 * HALF + LANE, 2 * QUARTER, 3)
    return half(b, 80) * bits(b, SIXTEENTH, 0, 15) * q - half(b, 82) * bits(b, SIXTEENTH, 4, 15)


def decode_q3_k(b):
    q = bits(b, 32 + 32 * HALF + LANE, 2 * QUARTER, 3) + 4 * bits(b, LANE, EIGHTH, 1) - 4
    low = bits(b, 96 + SIXTEENTH % 8, 4 * (SIXTEENTH // 8), 15)
    high = bits(b, 104 + SIXTEENTH % 4, 2 * (SIXTEENTH // 4), 3)
    return half(b, 108) * (low + 16 * high - 32) * q


def decode_q4_k(b):
    scales, minima = six_bit_pairs(b, 4)
    q = bits(b, 16 + 32 * (EIGHTH // 2) + LANE, 4 * (EIGHTH % 2), 15)
    return half(b, 0) * scales[:, EIGHTH] * q - half(b, 2) * minima[:, EIGHTH]


def decode_q5_k(b):
    scales, minima = six_bit_pairs(b, 4)
    q = bits(b, 48 + 32 * (EIGHTH // 2) + LANE, 4 * (EIGHTH % 2), 15) + 16 * bits(b, 16 + LANE, EIGHTH, 1)
    return half(b, 0) * scales[:, EIGHTH] * q - half(b, 2) * minima[:, EIGHTH]


def decode_q6_k(b):
    q = bits(b, 64 * HALF + 32 * (QUARTER % 2) + LANE, 4 * (QUARTER // 2), 15)
    q += 16 * bits(b, 128 + 32 * HALF + LANE, 2 * QUARTER, 3) - 32
    return half(b, 208) * b[:, 192 + SIXTEENTH].view(np.int8) * q


def decode_iq4_xs(b):
    low = bits(b, 4 + EIGHTH // 2, 4 * (EIGHTH % 2), 15)
    high = bits(b, 2 + EIGHTH // 4, 2 * (EIGHTH % 4), 3)
    codes = bits(b, 8 + 16 * EIGHTH + LANE % 16, 4 * (LANE // 16), 15).astype(int)
    return half(b, 0) * (low + 16 * high - 32) * IQ4_LEVELS[codes]


def decode_mxfp4(b):
    return np.exp2(b[:, :1].astype(np.float64) - 127) * E2M1_LEVELS[nibbles(b, 1, 32).astype(int)]


def ue4m3(byte):
    """Unsigned E4M3, bias 7, with subnormals; ggml takes the NaN code as zero."""
    exponent, mantissa = (byte >> 3 & 15).astype(np.float64), (byte & 7).astype(np.float64)
    value = np.where(exponent == 0, mantissa / 512, (1 + mantissa / 8) * np.exp2(exponent - 7))
    return np.where(byte & 127 == 127, 0.0, value)


def decode_nvfp4(b):
    i = np.arange(64)
    codes = bits(b, 4 + 8 * (i // 16) + i % 8, 4 * (i % 16 // 8), 15).astype(int)
    return ue4m3(b[:, :4])[:, i // 16] * E2M1_LEVELS[codes]


class Type:
    """number and block as in the file; `scale_at` is where a block's float16 scale stands, `minimum` (place, ratio to
    the scale) where its minimum does, the ratio being what centres random codes on zero."""

    def __init__(self, number, elements, size, decode, scale_at=None, minimum=None):
        self.number, self.elements, self.size, self.decode = number, elements, size, decode
        self.scale_at, self.minimum = scale_at, minimum


TYPES = {
    "F32": Type(0, 1, 4, lambda b: b.copy().view("<f4").astype(np.float64)),
    "F16": Type(1, 1, 2, lambda b: half(b, 0)),
    "BF16": Type(30, 1, 2, lambda b: (b.copy().view("<u2").astype("<u4") << 16).view("<f4").astype(np.float64)),
    "Q4_0": Type(2, 32, 18, lambda b: half(b, 0) * (nibbles(b, 2, 32) - 8), 0),
    "Q4_1": Type(3, 32, 20, lambda b: half(b, 0) * nibbles(b, 4, 32) + half(b, 2), 0, (2, -7.5)),
    "Q5_0": Type(6, 32, 22, lambda b: half(b, 0) * (nibbles(b, 6, 32) + fifth_bits(b, 2) - 16), 0),
    "Q5_1": Type(7, 32, 24, lambda b: half(b, 0) * (nibbles(b, 8, 32) + fifth_bits(b, 4)) + half(b, 2), 0, (2, -15.5)),
    "Q8_0": Type(8, 32, 34, lambda b: half(b, 0) * b[:, 2:].view(np.int8), 0),
    "Q2_K": Type(10, 256, 84, decode_q2_k, 80, (82, 1.5)),
    "Q3_K": Type(11, 256, 110, decode_q3_k, 108),
    "Q4_K": Type(12, 256, 144, decode_q4_k, 0, (2, 7.5)),
    "Q5_K": Type(13, 256, 176, decode_q5_k, 0, (2, 15.5)),
    "Q6_K": Type(14, 256, 210, decode_q6_k, 208),
    "IQ4_NL": Type(20, 32, 18, lambda b: half(b, 0) * IQ4_LEVELS[nibbles(b, 2, 32).astype(int)], 0),
    "IQ4_XS": Type(23, 256, 136, decode_iq4_xs, 0),
    "MXFP4": Type(39, 32, 17, decode_mxfp4),
    "NVFP4": Type(40, 64, 36, decode_nvfp4),
}
BY_NUMBER = {t.number: t for t in TYPES.values()}


def random_blocks(rng, name, count, spread):
    """`count` blocks of random bytes whose scales make the weights' standard deviation about `spread`."""
    kind = TYPES[name]
    if kind.elements == 1:
        w = (rng.standard_normal((count, 1)) * spread).astype("<f4")
        if name == "F16":
            return w.astype("<f2").view(np.uint8)
        if name == "BF16":
            return (w.view("<u4") >> 16).astype("<u2").view(np.uint8)
        return w.view(np.uint8)
    b = rng.integers(0, 256, (count, kind.size), dtype=np.uint8)
    unit = np.sqrt((E2M1_LEVELS ** 2).mean())
    if name == "MXFP4":
        b[:, 0] = np.rint(np.log2(spread / unit)) + 127 + rng.integers(-1, 2, count)
    elif name == "NVFP4":
        codes = np.arange(1, 127, dtype=np.uint8)  # nearest to a scale of 0.5 to 1.5 times what is wanted
        wanted = spread / unit * rng.uniform(.5, 1.5, (count, 4, 1))
        b[:, :4] = codes[np.abs(ue4m3(codes) - wanted).argmin(-1)]
    else:
        def put(scale):
            b[:, kind.scale_at:kind.scale_at + 2] = scale.astype("<f2")[:, None].view(np.uint8)
            if kind.minimum:
                at, ratio = kind.minimum
                b[:, at:at + 2] = (ratio * scale).astype("<f2")[:, None].view(np.uint8)
        put(np.ones(count))
        unit = kind.decode(b).std()
        put(spread / unit * rng.uniform(.5, 1.5, count) * rng.choice([-1, 1], count, p=[.1, .9]))
    return b


# ---------------------------------------------------------------------------------------------------------------
# GGUF and safetensors files

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


def gguf_string(text):
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def gguf_value(value):
    """A bool, int (uint32), float (float32), str, or a list of str or of int (int32), with its type before it."""
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + gguf_string(value)
    if all(isinstance(v, str) for v in value):
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(gguf_string, value))
    return struct.pack(f"<IIQ{len(value)}i", 9, 5, len(value), *value)


def write_gguf(path, metadata, tensors, alignment=32):
    """tensors: {name: (type's name, shape innermost first, blocks)}"""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    head += b"".join(gguf_string(k) + gguf_value(v) for k, v in metadata.items())
    data = b""
    for name, (kind, shape, blocks) in tensors.items():
        head += gguf_string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, TYPES[kind].number, len(data))
        data += blocks.tobytes()
        data += bytes(-len(data) % alignment)
    with open(path, "wb") as file:
        file.write(head + bytes(-len(head) % alignment) + data)


def read_gguf(path):
    """-> metadata, {tensor's name: float64 array, shape outermost first}"""
    with open(path, "rb") as file:
        raw = file.read()
    at = 4

    def take(layout):
        nonlocal at
        values = struct.unpack_from("<" + layout, raw, at)
        at += struct.calcsize("<" + layout)
        return values

    def string():
        nonlocal at
        (size,) = take("Q")
        at += size
        return raw[at - size:at].decode()

    def value(kind):
        if kind == 8:
            return string()
        if kind == 9:
            element, count = take("IQ")
            return [string() for _ in range(count)] if element == 8 else list(take(f"{count}{SCALARS[element]}"))
        return take(SCALARS[kind])[0]

    _, tensor_count, value_count = take("IQQ")
    metadata = {string(): value(take("I")[0]) for _ in range(value_count)}
    entries = []
    for _ in range(tensor_count):
        name = string()
        shape = take(f"{take('I')[0]}Q")
        entries.append((name, shape, *take("IQ")))
    alignment = metadata.get("general.alignment", 32)
    base = -(-at // alignment) * alignment
    tensors = {}
    for name, shape, number, offset in entries:
        kind = BY_NUMBER[number]
        count = int(np.prod(shape)) // kind.elements
        blocks = np.frombuffer(raw, np.uint8, count * kind.size, base + offset).reshape(count, kind.size)
        tensors[name] = kind.decode(blocks).reshape(shape[::-1])
    return metadata, tensors


def write_safetensors(path, tensors):
    head, data = {}, b""
    for name, array in tensors.items():
        kind = {"int32": "I32", "float32": "F32"}[array.dtype.name]
        head[name] = {"dtype": kind, "shape": array.shape, "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def read_safetensors(path):
    with open(path, "rb") as file:
        raw = file.read()
    size = struct.unpack_from("<Q", raw)[0]
    out = {}
    for name, entry in json.loads(raw[8:8 + size]).items():
        if name != "__metadata__":
            begin, end = (8 + size + x for x in entry["data_offsets"])
            kind = {"I32": "<i4", "F32": "<f4"}[entry["dtype"]]
            out[name] = np.frombuffer(raw[begin:end], kind).reshape(entry["shape"])
    return out


# ---------------------------------------------------------------------------------------------------------------
# The forward pass

def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def silu(x):
    return x * sigmoid(x)


class Model:
    """The hybrid in float64. Activations are [tokens, ...]; the whole sequence is computed at once, from nothing."""

    def __init__(self, metadata, weights):
        def get(key, default=None):
            return metadata.get("qwen35." + key, default)
        self.weights = weights
        self.heads, self.kv_heads = get("attention.head_count"), get("attention.head_count_kv")
        self.head = get("attention.key_length")
        self.epsilon = get("attention.layer_norm_rms_epsilon")
        self.rotated, self.base = get("rope.dimension_count"), get("rope.freq_base")
        self.state = get("ssm.state_size")
        self.key_heads, self.value_heads = get("ssm.group_count"), get("ssm.time_step_rank")
        self.mtp_blocks = get("nextn_predict_layers", 0)
        self.layers = get("block_count") - self.mtp_blocks
        self.interval = get("full_attention_interval", 4)

    def times(self, x, name):
        """x W^T, and the factor of the matrix where the file has one (NAME.scale beside NAME.weight)."""
        return x @ self.weights[name + ".weight"].T * self.weights.get(name + ".scale", np.ones(1))

    def norm(self, x, name):
        return x / np.sqrt(np.mean(x ** 2, -1, keepdims=True) + self.epsilon) * self.weights[name + ".weight"]

    def rotate(self, x, positions):
        """Rotary embedding of the first `rotated` elements of each head, element i paired with i + rotated / 2. Text:
        the three position axes of the interleaved M-RoPE agree, so their sections do not matter. x [T, heads, head]"""
        pairs = self.rotated // 2
        angle = positions[:, None, None] / self.base ** (np.arange(pairs) / pairs)
        turned = (x[..., :pairs] + 1j * x[..., pairs:self.rotated]) * np.exp(1j * angle)
        return np.concatenate([turned.real, turned.imag, x[..., self.rotated:]], -1)

    def attention(self, x, at, positions):
        count = len(x)
        query, gate = np.split(self.times(x, at + "attn_q").reshape(count, self.heads, 2 * self.head), 2, -1)
        key = self.times(x, at + "attn_k").reshape(count, self.kv_heads, self.head)
        value = self.times(x, at + "attn_v").reshape(count, self.kv_heads, self.head)
        query = self.rotate(self.norm(query, at + "attn_q_norm"), positions)
        key = self.rotate(self.norm(key, at + "attn_k_norm"), positions)
        key, value = (np.repeat(a, self.heads // self.kv_heads, 1) for a in (key, value))
        scores = np.einsum("qhd,khd->hqk", query, key) / np.sqrt(self.head)
        scores += np.where(np.tri(count, dtype=bool), 0, -np.inf)
        weight = np.exp(scores - scores.max(-1, keepdims=True))
        weight /= weight.sum(-1, keepdims=True)
        mixed = np.einsum("hqk,khd->qhd", weight, value) * sigmoid(gate)
        return self.times(mixed.reshape(count, -1), at + "attn_output")

    def delta_net(self, x, at):
        count, kernel = len(x), self.weights[at + "ssm_conv1d.weight"]
        taps = kernel.shape[1]
        columns = np.pad(self.times(x, at + "attn_qkv"), ((taps - 1, 0), (0, 0)))
        convolved = silu(np.einsum("twc,cw->tc", np.stack([columns[i:i + taps] for i in range(count)]), kernel))
        split = self.key_heads * self.state
        query, key, value = (a.reshape(count, -1, self.state) for a in np.split(convolved, [split, 2 * split], 1))
        query, key = (a / np.sqrt(np.sum(a ** 2, -1, keepdims=True) + self.epsilon) for a in (query, key))
        reads = np.arange(self.value_heads) % self.key_heads  # GGUF stores the value heads tiled
        query, key = query[:, reads] / np.sqrt(self.state), key[:, reads]
        beta = sigmoid(self.times(x, at + "ssm_beta"))
        step = np.logaddexp(0, self.times(x, at + "ssm_alpha") + self.weights[at + "ssm_dt.bias"])
        decay = np.exp(step * self.weights[at + "ssm_a"])
        memory = np.zeros((self.value_heads, self.state, self.state))  # [head, value element, key element]
        read = np.empty((count, self.value_heads, self.state))
        for t in range(count):
            memory *= decay[t, :, None, None]
            error = value[t] - (memory @ key[t][..., None])[..., 0]
            memory += (beta[t, :, None] * error)[..., None] * key[t][:, None, :]
            read[t] = (memory @ query[t][..., None])[..., 0]
        gate = self.times(x, at + "attn_gate").reshape(read.shape)
        return self.times((self.norm(read, at + "ssm_norm") * silu(gate)).reshape(count, -1), at + "ssm_out")

    def block(self, x, layer, positions, full):
        at = f"blk.{layer}."
        h = self.norm(x, at + "attn_norm")
        x = x + (self.attention(h, at, positions) if full else self.delta_net(h, at))
        h = self.norm(x, at + "post_attention_norm")
        return x + self.times(silu(self.times(h, at + "ffn_gate")) * self.times(h, at + "ffn_up"), at + "ffn_down")

    def run(self, tokens):
        """-> logits [T, vocabulary], and those of the MTP block [T - 1, vocabulary] or None"""
        head = "output" if "output.weight" in self.weights else "token_embd"
        positions = np.arange(len(tokens), dtype=np.float64)
        x = self.weights["token_embd.weight"][tokens]
        for layer in range(self.layers):
            x = self.block(x, layer, positions, (layer + 1) % self.interval == 0)
        hidden = self.norm(x, "output_norm")
        logits = self.times(hidden, head)
        if not self.mtp_blocks:
            return logits, None
        at = f"blk.{self.layers}.nextn."
        table = self.weights.get(at + "embed_tokens.weight", self.weights["token_embd.weight"])
        both = [self.norm(table[tokens[1:]], at + "enorm"), self.norm(hidden[:-1], at + "hnorm")]
        y = self.times(np.concatenate(both, 1), at + "eh_proj")
        y = self.block(y, self.layers, positions[1:], True)
        y = self.norm(y, at + "shared_head_norm" if at + "shared_head_norm.weight" in self.weights else "output_norm")
        return logits, self.times(y, at + "shared_head_head" if at + "shared_head_head.weight" in self.weights else head)


# ---------------------------------------------------------------------------------------------------------------
# The models

def byte_vocabulary():
    """The 256 tokens of byte-level BPE: each byte as the character that stands for it."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [b for b in range(256) if b not in shown]
    return [chr(b) if b in shown else chr(256 + hidden.index(b)) for b in range(256)]


def build(seed, types, vocabulary, layers, interval, mtp, tied, heads, kv_heads, key_heads, value_heads, inner=128,
          tokenizer=False, scaled=(), own_mtp_tables=False):
    """A random model, -> metadata, tensors. `types` gives a matrix's type by the last word of its name, or by its full
    name; a matrix whose type is in `scaled` also gets a NAME.scale."""
    rng = np.random.default_rng(seed)
    width, head, rotated, state = 256, 64, 16, 128
    keys, values = key_heads * state, value_heads * state
    tensors = {}

    def vector(name, size, mean=1.0, spread=.1):
        w = (mean + spread * rng.standard_normal(size)).astype("<f4")
        tensors[name] = ("F32", (size,), w[:, None].view(np.uint8))

    def matrix(name, rows, columns, spread=.06):
        kind = types.get(name) or types[name.split(".")[-1]]
        factor = np.float32(rng.uniform(.001, .004)) if kind in scaled else np.float32(1)
        blocks = random_blocks(rng, kind, rows * columns // TYPES[kind].elements, spread / factor)
        tensors[name + ".weight"] = (kind, (columns, rows), blocks)
        if kind in scaled:
            for suffix, value in ((".scale", factor), (".input_scale", np.float32(.01))):
                tensors[name + suffix] = ("F32", (1,), np.array([[value]], "<f4").view(np.uint8))

    def layer(number, full):
        at = f"blk.{number}."
        vector(at + "attn_norm.weight", width)
        if full:
            matrix(at + "attn_q", 2 * heads * head, width)
            matrix(at + "attn_k", kv_heads * head, width)
            matrix(at + "attn_v", kv_heads * head, width)
            matrix(at + "attn_output", width, heads * head)
            vector(at + "attn_q_norm.weight", head, 1.5)
            vector(at + "attn_k_norm.weight", head, 1.5)
        else:
            matrix(at + "attn_qkv", 2 * keys + values, width)
            matrix(at + "attn_gate", values, width)
            w = rng.standard_normal((2 * keys + values, 4)).astype("<f4") * np.float32(.5)
            tensors[at + "ssm_conv1d.weight"] = ("F32", (4, 2 * keys + values), w.reshape(-1, 1).view(np.uint8))
            vector(at + "ssm_dt.bias", value_heads, -2, 1)
            vector(at + "ssm_a", value_heads, -1, .3)
            matrix(at + "ssm_beta", value_heads, width)
            matrix(at + "ssm_alpha", value_heads, width)
            vector(at + "ssm_norm.weight", state)
            matrix(at + "ssm_out", width, values)
        vector(at + "post_attention_norm.weight", width)
        matrix(at + "ffn_gate", inner, width)
        matrix(at + "ffn_up", inner, width)
        matrix(at + "ffn_down", width, inner)

    matrix("token_embd", vocabulary, width, .25 if tied else 1)
    vector("output_norm.weight", width)
    if not tied:
        matrix("output", vocabulary, width)
    for number in range(layers):
        layer(number, (number + 1) % interval == 0)
    if mtp:
        at = f"blk.{layers}."
        layer(layers, True)
        matrix(at + "nextn.eh_proj", width, 2 * width)
        if own_mtp_tables:
            matrix(at + "nextn.embed_tokens", vocabulary, width, 1)
            matrix(at + "nextn.shared_head_head", vocabulary, width)
        for name in ("enorm", "hnorm", "shared_head_norm"):
            vector(at + f"nextn.{name}.weight", width)

    metadata = {"general.architecture": "qwen35", "general.name": "golden"}
    numbers = {"block_count": layers + mtp, "context_length": 4096, "embedding_length": width,
               "feed_forward_length": inner, "full_attention_interval": interval, "attention.head_count": heads,
               "attention.head_count_kv": kv_heads, "attention.key_length": head, "attention.value_length": head,
               "attention.layer_norm_rms_epsilon": 1e-6, "rope.freq_base": 1e7, "rope.dimension_count": rotated,
               "rope.dimension_sections": [3, 3, 2, 0], "ssm.conv_kernel": 4, "ssm.inner_size": values,
               "ssm.state_size": state, "ssm.time_step_rank": value_heads, "ssm.group_count": key_heads}
    if mtp:
        numbers["nextn_predict_layers"] = 1
    metadata.update(("qwen35." + k, v) for k, v in numbers.items())
    if tokenizer:
        metadata.update({"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "qwen35",
                         "tokenizer.ggml.tokens": byte_vocabulary(), "tokenizer.ggml.token_type": [1] * 256,
                         "tokenizer.ggml.merges": [], "tokenizer.ggml.eos_token_id": 255})
    else:
        metadata["tokenizer.ggml.model"] = "no_vocab"
    return metadata, tensors


def golden_models():
    """{file's name: build's arguments}; a comment on each says what it alone covers."""
    return {
        # three DeltaNet layers in a row, as many value heads as key heads, MTP on the main head, a vocabulary
        "blocks32": dict(
            seed=1, vocabulary=256, layers=4, interval=4, mtp=1, tied=False, heads=2, kv_heads=1, key_heads=1,
            value_heads=1, tokenizer=True,
            types={"token_embd": "Q5_1", "output": "Q8_0", "attn_q": "Q4_1", "attn_k": "F16", "attn_v": "BF16",
                   "attn_output": "IQ4_NL", "attn_qkv": "Q4_0", "attn_gate": "Q5_0", "ssm_beta": "F32",
                   "ssm_alpha": "BF16", "ssm_out": "IQ4_NL", "ffn_gate": "Q4_0", "ffn_up": "Q4_1", "ffn_down": "Q5_1",
                   "eh_proj": "Q5_0", "blk.1.ffn_gate": "Q5_0", "blk.2.ffn_gate": "IQ4_NL", "blk.1.attn_qkv": "Q4_1",
                   "blk.2.attn_qkv": "Q5_1"}),
        # a tied head, no MTP, value heads that share key heads, grouped queries, no vocabulary
        "blocks256": dict(
            seed=2, vocabulary=264, layers=2, interval=2, mtp=0, tied=True, heads=4, kv_heads=2, key_heads=2,
            value_heads=4, inner=256,
            types={"token_embd": "Q6_K", "attn_q": "Q3_K", "attn_k": "Q4_K", "attn_v": "Q6_K", "attn_output": "IQ4_XS",
                   "attn_qkv": "Q5_K", "attn_gate": "Q4_K", "ssm_beta": "Q2_K", "ssm_alpha": "F32", "ssm_out": "Q3_K",
                   "ffn_gate": "Q2_K", "ffn_up": "IQ4_XS", "ffn_down": "Q6_K", "blk.0.ffn_gate": "IQ4_XS",
                   "blk.0.ffn_up": "Q2_K"}),
        # scales of whole matrices, an MTP block with tables of its own
        "fp4": dict(
            seed=3, vocabulary=256, layers=2, interval=2, mtp=1, tied=False, heads=2, kv_heads=1, key_heads=1,
            value_heads=2, scaled=("NVFP4",), own_mtp_tables=True,
            types={"token_embd": "MXFP4", "output": "NVFP4", "attn_q": "NVFP4", "attn_k": "NVFP4", "attn_v": "MXFP4",
                   "attn_output": "NVFP4", "attn_qkv": "MXFP4", "attn_gate": "NVFP4", "ssm_beta": "BF16",
                   "ssm_alpha": "F32", "ssm_out": "NVFP4", "ffn_gate": "NVFP4", "ffn_up": "MXFP4", "ffn_down": "NVFP4",
                   "eh_proj": "NVFP4", "embed_tokens": "Q8_0", "shared_head_head": "NVFP4"}),
        # NVFP4 without scales, so small that its block scales are subnormal; floating-point matrices; a tied head with MTP
        "floats": dict(
            seed=4, vocabulary=256, layers=2, interval=2, mtp=1, tied=True, heads=1, kv_heads=1, key_heads=1,
            value_heads=2,
            types={"token_embd": "F16", "attn_q": "F16", "attn_k": "BF16", "attn_v": "F16", "attn_output": "BF16",
                   "attn_qkv": "NVFP4", "attn_gate": "BF16", "ssm_beta": "F16", "ssm_alpha": "F16", "ssm_out": "NVFP4",
                   "ffn_gate": "F32", "ffn_up": "NVFP4", "ffn_down": "Q8_0", "eh_proj": "NVFP4",
                   "blk.0.ffn_gate": "NVFP4", "blk.2.ffn_gate": "NVFP4"}),
    }


def error(ours, reference):
    reference = reference.astype(np.float64)
    return float(((ours - reference) ** 2).sum() / (reference ** 2).sum())


def make(folder):
    tokens = np.random.default_rng(0).integers(0, 256, 32).astype("<i4")
    for name, arguments in golden_models().items():
        path = os.path.join(folder, name)
        write_gguf(path + ".gguf", *build(**arguments))
        logits, mtp_logits = Model(*read_gguf(path + ".gguf")).run(tokens)
        golden = {"tokens": tokens, "logits": logits.astype("<f4")}
        if mtp_logits is not None:
            golden["mtp_logits"] = mtp_logits.astype("<f4")
        write_safetensors(path + ".golden.safetensors", golden)
        print(f"{name}.gguf: {os.path.getsize(path + '.gguf')} bytes, logits of deviation {logits.std():.3f}")


def check(model, golden):
    stored = read_safetensors(golden)
    logits, mtp_logits = Model(*read_gguf(model)).run(stored["tokens"])
    print(f"logits: normalised mean squared error {error(logits, stored['logits']):.2e}")
    if mtp_logits is not None and "mtp_logits" in stored:
        print(f"mtp_logits: normalised mean squared error {error(mtp_logits, stored['mtp_logits']):.2e}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--check"]:
        check(*sys.argv[2:4])
    else:
        make(sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__)))
