"""Rows of packed documents, made on the fly by worker processes; batch number and seed settle every token."""
import multiprocessing
from pathlib import Path

import numpy as np

from bpe import Tokenizer
from tavern.conversation import document

HELD_OUT = 1 << 40            # training starts at seed 1 << 50, the vocabulary was learnt from seeds below 40,000
_OPEN_ROWS = 12
_tokenizer = None


def tokenizer():
    global _tokenizer
    if _tokenizer is None:
        _tokenizer = Tokenizer.load(Path(__file__).with_name("merges.json"))
    return _tokenizer


def encoded(seed):
    """-> (token ids, weight of guessing each)"""
    ids, weights = [], []
    for text, weight in document(seed):
        piece = tokenizer().encode(text)
        ids += piece
        weights += [weight] * len(piece)
    return ids, weights


def pack(seed, rows, length):
    """-> tokens, documents, weights, each [rows, length]; document -1 and weight 0 where nothing is."""
    tokens = np.full((rows, length), tokenizer().end_of_text, np.int16)
    docs = np.full((rows, length), -1, np.int16)
    weights = np.zeros((rows, length), np.float16)
    used, begin, end, count = [0] * rows, 0, min(_OPEN_ROWS, rows), 0
    while True:
        ids, w = encoded(seed)
        seed += 1
        if len(ids) > length:
            continue
        row = next((r for r in range(begin, end) if used[r] + len(ids) <= length), None)
        if row is None:
            # the fullest open row is closed; when no row is left to open, the batch is done
            if end == rows:
                return tokens, docs, weights
            fullest = max(range(begin, end), key=lambda r: used[r])
            for a in (tokens, docs, weights):
                a[[begin, fullest]] = a[[fullest, begin]]
            used[begin], used[fullest] = used[fullest], used[begin]
            row, begin, end = end, begin + 1, end + 1
        at = slice(used[row], used[row] + len(ids))
        tokens[row, at], docs[row, at], weights[row, at] = ids, count, w
        used[row] += len(ids)
        count += 1


def _job(args):
    return pack(*args)


def stream(first, count, rows, length, workers, seed_base=0):
    """Batches `first` to `first + count`, in order."""
    jobs = ((seed_base + (i << 20), rows, length) for i in range(first, first + count))
    if workers < 2:
        yield from map(_job, jobs)
        return
    # handing out all jobs at once would pile up batches: keep a few ahead of the consumer
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        waiting, ahead = [], 4 * workers
        for job in jobs:
            waiting.append(pool.apply_async(_job, (job,)))
            if len(waiting) > ahead:
                yield waiting.pop(0).get()
        for result in waiting:
            yield result.get()
