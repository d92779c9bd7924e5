#!/usr/bin/env python3
"""Learn the vocabulary from 40,000 conversations: make_vocabulary.py [SIZE] -> merges.json beside this file."""
import sys
from pathlib import Path

from bpe import Tokenizer, count_pieces, learn
from tavern.conversation import document

size = int(sys.argv[1]) if len(sys.argv) > 1 else 2048
texts = ["".join(text for text, _ in document(seed)) for seed in range(40_000)]
counts = count_pieces(texts)
tokenizer = Tokenizer(learn(counts, size))
tokenizer.save(Path(__file__).with_name("merges.json"))
sample = texts[:2000]
tokens = sum(len(tokenizer.encode(t)) for t in sample)
print(f"{len(tokenizer)} tokens from {len(counts)} different pieces; {sum(map(len, sample)) / tokens:.2f} characters a token, "
      f"{tokens / len(sample):.0f} tokens a document, the longest {max(len(tokenizer.encode(t)) for t in sample)}")
