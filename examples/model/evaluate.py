#!/usr/bin/env python3
"""Look at a finished GGUF without any runtime: a plain numpy pass in float64, token by token.

evaluate.py MODEL.gguf chat [--think] [--system TEXT] [--tools] LINE...    a greedy conversation, one guest line after another
evaluate.py MODEL.gguf accept [COUNT]                                      draft acceptance on greedy text after held-out prompts
evaluate.py MODEL.gguf golden OUT.json                                     greedy ids of some prompts, for tests
evaluate.py MODEL.gguf prompts OUT.json [COUNT]                            held-out prompts, each up to where the answer begins
Slow and exact: float64 leaves no near ties to chance, so the ids can stand as golden data.
"""
import argparse
import json
import re
import struct

import numpy as np

import batches
from tavern import chatml

TOOLS = [{"type": "function", "function": {"name": "look_up_price", "description": "Look up the price of an item.", "parameters": {
    "type": "object", "properties": {"item": {"type": "string"}}, "required": ["item"]}}},
    {"type": "function", "function": {"name": "roll_dice", "description": "Roll a die.", "parameters": {
        "type": "object", "properties": {"sides": {"type": "integer"}}, "required": ["sides"]}}}]


def read(path):
    """-> (metadata, tensors as float64); only what export.py writes."""
    with open(path, "rb") as f:
        data = f.read()
    at = 24
    tensors_n, fields_n = struct.unpack_from("<QQ", data, 8)

    def take(fmt):
        nonlocal at
        value = struct.unpack_from("<" + fmt, data, at)[0]
        at += struct.calcsize(fmt)
        return value

    def value(kind):
        nonlocal at
        if kind == 8:
            size = take("Q")
            at += size
            return data[at - size:at].decode()
        if kind == 9:
            kind, n = take("I"), take("Q")
            return [value(kind) for _ in range(n)]
        return take({4: "I", 5: "i", 6: "f", 7: "?"}[kind])

    meta = {}
    for _ in range(fields_n):
        key = value(8)
        meta[key] = value(take("I"))
    infos = []
    for _ in range(tensors_n):
        name = value(8)
        shape = [take("Q") for _ in range(take("I"))][::-1]
        infos.append((name, shape, take("I"), take("Q")))
    base = -(-at // 32) * 32
    return meta, {n: decode(kind, data, base + off, shape) for n, shape, kind, off in infos}


def decode(kind, data, at, shape):
    n = int(np.prod(shape))
    if kind == 0:
        return np.frombuffer(data, "<f4", n, at).astype(float).reshape(shape)
    per, size = {8: (32, 34), 14: (256, 210)}[kind]
    x = np.frombuffer(data, np.uint8, n // per * size, at).reshape(-1, size)
    if kind == 8:
        return (x[:, :2].copy().view(np.float16).astype(float) * x[:, 2:].copy().view(np.int8)).reshape(shape)
    low, high = x[:, :128].reshape(-1, 2, 64), x[:, 128:192].reshape(-1, 2, 32)
    runs = [(low[:, :, :32] & 15) | (high & 3) << 4, (low[:, :, 32:] & 15) | (high >> 2 & 3) << 4,
            (low[:, :, :32] >> 4) | (high >> 4 & 3) << 4, (low[:, :, 32:] >> 4) | (high >> 6) << 4]
    q = np.stack(runs, 2).astype(float).reshape(-1, 16, 16) - 32
    scale = x[:, 192:208].copy().view(np.int8).astype(float) * x[:, 208:].copy().view(np.float16).astype(float)
    return (q * scale[..., None]).reshape(shape)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Timeline:
    """One growing text: `feed` takes a token and leaves `logits` and `hidden`; `guess` is the MTP block's word on the token after."""

    def __init__(self, meta, w):
        self.m = {k.removeprefix("qwen35."): v for k, v in meta.items()}
        self.w, self.at, self.cache = w, 0, {}
        self.blocks = self.m["block_count"] - 1

    def norm(self, x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + self.m["attention.layer_norm_rms_epsilon"]) * self.w[name]

    def rope(self, x, at):
        r = self.m["rope.dimension_count"]
        a = at * self.m["rope.freq_base"] ** (-np.arange(r // 2) * 2.0 / r)
        lo, hi = x[:, :r // 2], x[:, r // 2:r]
        return np.concatenate([lo * np.cos(a) - hi * np.sin(a), hi * np.cos(a) + lo * np.sin(a), x[:, r:]], 1)

    def attention(self, p, x, at):
        w, heads, dim = self.w, self.m["attention.head_count"], self.m["attention.key_length"]
        q, gate = np.split((w[p + "attn_q.weight"] @ x).reshape(heads, 2 * dim), 2, 1)
        q = self.rope(self.norm(q, p + "attn_q_norm.weight"), at)
        k = self.rope(self.norm((w[p + "attn_k.weight"] @ x).reshape(-1, dim), p + "attn_k_norm.weight"), at)
        keys, values = self.cache.setdefault(p, ([], []))
        keys.append(k)
        values.append((w[p + "attn_v.weight"] @ x).reshape(-1, dim))
        group = heads // len(k)
        keys, values = np.repeat(keys, group, 1), np.repeat(values, group, 1)
        s = np.einsum("hd,thd->ht", q, keys) / np.sqrt(dim)
        s = np.exp(s - s.max(1, keepdims=True))
        o = np.einsum("ht,thd->hd", s / s.sum(1, keepdims=True), values)
        return w[p + "attn_output.weight"] @ (o * sigmoid(gate)).reshape(-1)

    def deltanet(self, p, x):
        w, eps, s = self.w, self.m["attention.layer_norm_rms_epsilon"], self.m["ssm.state_size"]
        vh, kh = self.m["ssm.time_step_rank"], self.m["ssm.group_count"]
        conv = w[p + "ssm_conv1d.weight"]
        past, state = self.cache.get(p, (np.zeros((conv.shape[1] - 1, len(conv))), np.zeros((vh, s, s))))
        columns = np.concatenate([past, (w[p + "attn_qkv.weight"] @ x)[None]])
        mixed = (columns * conv.T).sum(0)
        mixed = mixed * sigmoid(mixed)
        unit = lambda y: y / np.sqrt((y * y).sum(1, keepdims=True) + eps)
        reads = np.arange(vh) % kh
        q = unit(mixed[:kh * s].reshape(kh, s))[reads] / np.sqrt(s)
        k = unit(mixed[kh * s:2 * kh * s].reshape(kh, s))[reads]
        v = mixed[2 * kh * s:].reshape(vh, s)
        beta = sigmoid(w[p + "ssm_beta.weight"] @ x)
        decay = np.exp(np.logaddexp(0, w[p + "ssm_alpha.weight"] @ x + w[p + "ssm_dt.bias"]) * w[p + "ssm_a"])
        state = state * decay[:, None, None]
        d = beta[:, None] * (v - np.einsum("hkv,hk->hv", state, k))
        state = state + k[:, :, None] * d[:, None, :]
        self.cache[p] = columns[1:], state
        z = (w[p + "attn_gate.weight"] @ x).reshape(vh, s)
        o = self.norm(np.einsum("hkv,hk->hv", state, q), p + "ssm_norm.weight") * z * sigmoid(z)
        return w[p + "ssm_out.weight"] @ o.reshape(-1)

    def block(self, il, x, at):
        w, p = self.w, f"blk.{il}."
        h = self.norm(x, p + "attn_norm.weight")
        full = il == self.blocks or (il + 1) % self.m["full_attention_interval"] == 0
        x = x + (self.attention(p, h, at) if full else self.deltanet(p, h))
        h = self.norm(x, p + "post_attention_norm.weight")
        gate = w[p + "ffn_gate.weight"] @ h
        return x + w[p + "ffn_down.weight"] @ (gate * sigmoid(gate) * (w[p + "ffn_up.weight"] @ h))

    def feed(self, token):
        """Also tells the MTP block of the pair (hidden state before, this token), and leaves its `draft_logits`."""
        if self.at:
            p = f"blk.{self.blocks}.nextn."
            e = self.norm(self.w["token_embd.weight"][token], p + "enorm.weight")
            x = self.w[p + "eh_proj.weight"] @ np.concatenate([e, self.norm(self.hidden, p + "hnorm.weight")])
            x = self.norm(self.block(self.blocks, x, self.at), p + "shared_head_norm.weight")
            self.draft_logits = self.w["token_embd.weight"] @ x
        x = self.w["token_embd.weight"][token]
        for il in range(self.blocks):
            x = self.block(il, x, self.at)
        self.hidden = self.norm(x, "output_norm.weight")
        self.logits = self.w["token_embd.weight"] @ self.hidden
        self.at += 1


def greedy(model, ids, limit=200):
    """-> (new ids up to an end token, how many drafts there were, how many were right, the least lead of a best logit)"""
    line, out, drafts, right, lead = Timeline(*model), [], 0, 0, np.inf
    for t in ids:
        line.feed(t)
    ends = (batches.tokenizer().im_end, batches.tokenizer().end_of_text)
    while len(out) < limit:
        token = int(line.logits.argmax())
        second, best = np.partition(line.logits, -2)[-2:]
        lead = min(lead, best - second)
        out.append(token)
        if token in ends:
            break
        line.feed(token)
        # the draft made from this token guesses the next one, which the model has now chosen too
        drafts += 1
        right += int(line.draft_logits.argmax()) == int(line.logits.argmax())
    return out, drafts, right, lead


def opening(thinking):
    return "<|im_start|>assistant\n<think>\n" + ("" if thinking else "\n</think>\n\n")


def prompt_of(user, thinking, system=None, tools=()):
    return chatml.system_block(system, tools) + f"<|im_start|>user\n{user}<|im_end|>\n" + opening(thinking)


def tool_answers(text):
    """What stands in for a host's tools: every price is 7, every die shows its middle."""
    sides = re.findall(r"<parameter=sides>\n(\d+)", text)
    results = ["7 coppers"] * text.count("<function=look_up_price>") + [str(int(n) // 2) for n in sides]
    return "<|im_start|>user" + "".join(f"\n<tool_response>\n{r}\n</tool_response>" for r in results) + "<|im_end|>\n"


def chat(model, a):
    tokenizer = batches.tokenizer()
    history = chatml.system_block(a.system, TOOLS if a.tools else ())
    for line in a.words:
        print(f"> {line}")
        history += f"<|im_start|>user\n{line}<|im_end|>\n"
        shown, past, calling = history, "", True          # `shown` keeps this turn's reasoning, `past` does not
        while calling:
            shown += opening(a.think)
            text = tokenizer.decode(greedy(model, tokenizer.encode(shown))[0]).removesuffix("<|im_end|>")
            print(text)
            calling = "<tool_call>" in text
            more = "<|im_end|>\n" + (tool_answers(text) if calling else "")
            shown += text + more
            past += "<|im_start|>assistant\n" + text.split("</think>")[-1].strip() + more
        history += past
        print()


def held_out_prompts(count):
    """Held-out conversations, cut where the answer begins, thinking on and off as they come."""
    seed = batches.HELD_OUT + (1 << 30)
    while count:
        pieces = batches.document(seed)
        seed += 1
        cut = next((i for i, (_, weight) in enumerate(pieces) if weight == chatml.ANSWER), None)
        prompt = "".join(text for text, _ in pieces[:cut])
        if cut is not None and len(prompt) < 2500:
            yield prompt
            count -= 1


def accept(model, a):
    tokenizer, drafts, right = batches.tokenizer(), 0, 0
    for prompt in held_out_prompts(int(a.words[0]) if a.words else 40):
        _, n, ok, _ = greedy(model, tokenizer.encode(prompt))
        drafts, right = drafts + n, right + ok
    print(f"{right} of {drafts} drafts accepted: {right / drafts:.3f}")


def prompts(model, a):
    rows = held_out_prompts(int(a.words[1]) if len(a.words) > 1 else 200)
    write_rows(a.words[0], rows)


def write_rows(path, rows):
    with open(path, "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(r, ensure_ascii=False) for r in rows) + "\n]\n")


GOLDEN = [("Good evening! I'm Falgrim.", False, None, ()), ("Three ales and two bowls of stew, please.", True, None, ()),
          ("How much is the stew?", True, "You are Orla, keeper of the Blue Boar in Saltford. You are gruff. Prices: ale 7, stew 9, torch 2.", ()),
          ("What does a lantern cost?", True, None, TOOLS), ("I'd like a small room for four nights and a stall for my horse.", False, None, ())]


def golden(model, a):
    rows = []
    for user, thinking, system, tools in GOLDEN:
        text = prompt_of(user, thinking, system, tools)
        ids = batches.tokenizer().encode(text)
        out, _, _, lead = greedy(model, ids)
        rows.append(dict(prompt=text, prompt_ids=ids, ids=out, text=batches.tokenizer().decode(out), least_lead=round(lead, 4)))
        print(rows[-1]["text"], "\n")
    write_rows(a.words[0], rows)


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("what", choices=["chat", "accept", "golden", "prompts"])
    p.add_argument("words", nargs="*")
    p.add_argument("--think", action="store_true")
    p.add_argument("--tools", action="store_true")
    p.add_argument("--system")
    arguments = p.parse_intermixed_args()
    {"chat": chat, "accept": accept, "golden": golden, "prompts": prompts}[arguments.what](read(arguments.model), arguments)
