"""Byte-level BPE: training on counted pieces, encoding, decoding; GPT-2's byte letters, the qwen35 way of cutting text."""
import json
import re
from collections import Counter, defaultdict

# (text, GGUF token type): 3 is control, 4 is user-defined, as the published files have them
SPECIAL = [("<|endoftext|>", 3), ("<|im_start|>", 3), ("<|im_end|>", 3), ("<think>", 4), ("</think>", 4),
           ("<tool_call>", 4), ("</tool_call>", 4), ("<tool_response>", 4), ("</tool_response>", 4)]

# The qwen35 pre-tokenizer in the words of Python's re: letters are [^\W\d_], a digit is a piece of its own.
# (Combining marks count as letters there; this text is composed and has none.)
PIECES = re.compile(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|(?:(?![^\W_])[^\r\n])?[^\W\d_]+|\d| ?(?:(?![^\W_])\S)+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
_CUT = re.compile("(" + "|".join(re.escape(t) for t, _ in SPECIAL) + ")")


def byte_letters():
    """Byte value -> the printable letter that stands for it in a vocabulary."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters, extra = {b: chr(b) for b in plain}, 0
    for b in range(256):
        if b not in letters:
            letters[b] = chr(256 + extra)
            extra += 1
    return letters


def count_pieces(texts):
    counts = Counter()
    for text in texts:
        for part in _CUT.split(text):
            if part and not _CUT.fullmatch(part):
                counts.update(PIECES.findall(part))
    return counts


def learn(counts, size):
    """Merges of byte ids, most frequent pair first (ties: the smaller ids), until the vocabulary has `size` tokens."""
    words = [(list(p.encode()), n) for p, n in sorted(counts.items())]
    tokens = [bytes([b]) for b in range(256)]
    pairs, where = Counter(), defaultdict(set)
    for i, (ids, n) in enumerate(words):
        for pair in zip(ids, ids[1:]):
            pairs[pair] += n
            where[pair].add(i)
    merges = []
    while 256 + len(merges) + len(SPECIAL) < size:
        best = max(pairs, key=lambda p: (pairs[p], -p[0], -p[1]))
        if pairs[best] <= 0:
            break
        new = len(tokens)
        tokens.append(tokens[best[0]] + tokens[best[1]])
        merges.append(best)
        for i in where.pop(best):
            ids, n = words[i]
            for pair in zip(ids, ids[1:]):
                pairs[pair] -= n
            at = 0
            while at < len(ids) - 1:
                if (ids[at], ids[at + 1]) == best:
                    ids[at:at + 2] = [new]
                at += 1
            for pair in zip(ids, ids[1:]):
                pairs[pair] += n
                where[pair].add(i)
        del pairs[best]
    return merges


class Tokenizer:
    def __init__(self, merges):
        self.merges = [tuple(m) for m in merges]
        self.rank = {m: i for i, m in enumerate(self.merges)}
        self.tokens = [bytes([b]) for b in range(256)]
        for a, b in self.merges:
            self.tokens.append(self.tokens[a] + self.tokens[b])
        self.special = {}
        for text, _ in SPECIAL:
            self.special[text] = len(self.tokens)
            self.tokens.append(text.encode())
        self.end_of_text, self.im_end = self.special["<|endoftext|>"], self.special["<|im_end|>"]
        self._known = {}

    def __len__(self):
        return len(self.tokens)

    def _piece(self, piece):
        ids = list(piece.encode())
        while len(ids) > 1:
            rank, at = min((self.rank.get(p, 1 << 30), i) for i, p in enumerate(zip(ids, ids[1:])))
            if rank == 1 << 30:
                break
            ids[at:at + 2] = [256 + rank]
        return ids

    def encode(self, text):
        out = []
        for part in _CUT.split(text):
            if part in self.special:
                out.append(self.special[part])
                continue
            for piece in PIECES.findall(part):
                ids = self._known.get(piece)
                if ids is None:
                    ids = self._known[piece] = self._piece(piece)
                out += ids
        return out

    def decode(self, ids):
        return b"".join(self.tokens[i] for i in ids).decode("utf-8", "replace")

    def vocabulary(self):
        """What GGUF wants: token texts, their types, and merges as pairs of texts."""
        letters = byte_letters()
        shown = ["".join(letters[b] for b in t) for t in self.tokens]
        kinds = [1] * len(shown)
        for text, kind in SPECIAL:
            shown[self.special[text]], kinds[self.special[text]] = text, kind
        return shown, kinds, [f"{shown[a]} {shown[b]}" for a, b in self.merges]

    def save(self, path):
        with open(path, "w") as f:
            json.dump(self.merges, f, separators=(",", ":"))

    @staticmethod
    def load(path):
        with open(path) as f:
            return Tokenizer(json.load(f))
