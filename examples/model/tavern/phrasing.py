"""Small text tools of the generator: nested alternatives, number words, lists, capital letters.

A phrase is written as "{Good evening|Hello}, $name{!|.}": braces choose one alternative, "$x" is a value.
Phrases are parsed once and kept, because a run expands millions of them.
"""
import re
from functools import lru_cache

WORDS = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
         "sixteen seventeen eighteen nineteen twenty").split()


def _parse(text, at, closing):
    """Parse until `closing`; gives (alternatives, position). An alternative is a list of strings and choices."""
    alternatives, parts, start = [], [], at
    while at < len(text):
        c = text[at]
        if c == "{":
            parts.append(text[start:at])
            inner, at = _parse(text, at + 1, "}")
            parts.append(inner)
            start = at
        elif c == closing or (c == "|" and closing):
            parts.append(text[start:at])
            alternatives.append([p for p in parts if p != ""])
            at += 1
            if c == closing:
                return alternatives, at
            parts, start = [], at
        else:
            at += 1
    if closing:
        raise ValueError(f"unclosed brace in phrase: {text!r}")
    parts.append(text[start:at])
    alternatives.append([p for p in parts if p != ""])
    return alternatives, at


@lru_cache(maxsize=None)
def _tree(text):
    return _parse(text, 0, "")[0][0]


def _expand(parts, rng, out):
    for part in parts:
        if isinstance(part, str):
            out.append(part)
        else:
            _expand(part[int(rng.random() * len(part))], rng, out)


_VALUE = re.compile(r"\$([a-z_0-9]+)")


def say(rng, text, **values):
    """One random reading of the phrase, with its $values put in."""
    out = []
    _expand(_tree(text), rng, out)
    line = "".join(out)
    if "$" in line:
        line = _VALUE.sub(lambda m: str(values[m.group(1)]), line)
    return line


_START = re.compile(r"(^|[.!?] +|[.!?]\n|\n|\.\" )([a-z])")


def tidy(line):
    """Capital letters at sentence starts, single spaces."""
    line = re.sub(r" {2,}", " ", line.strip())
    return _START.sub(lambda m: m.group(1) + m.group(2).upper(), line)


def word(n):
    return WORDS[n] if 0 <= n < len(WORDS) else str(n)


def listed(things, last="and"):
    things = list(things)
    if len(things) < 2:
        return "".join(things)
    return ", ".join(things[:-1]) + f" {last} " + things[-1]


def a_or_an(noun):
    return ("an " if noun[0].lower() in "aeiou" else "a ") + noun


def coins(n):
    return f"{n} copper" if n == 1 else f"{n} coppers"


def times(n):
    return {1: "once", 2: "twice"}.get(n, word(n) + " times")


_BEFORE = ["Excuse me, ", "Hey, ", "Um, ", "Keeper, ", "So, ", "Well, ", "Tell me, ", "And ", "Okay, ", "Please, ", "Sir, ", "Bram, ", "Hm, "]
_KEYS = "qwertyuiopasdfghjklzxcvbnm"


def typed_by_hand(rng, text):
    """What a player makes of a sentence: small letters, no full stop, now and then a slip of the finger."""
    if rng.random() < 0.07 and text[0].isalpha() and not text.startswith(("I ", "I'")):
        text = rng.choice(_BEFORE) + text[0].lower() + text[1:]
    r = rng.random()
    if r < 0.25:
        text = text.lower()
    elif r < 0.30:
        text = text[0].lower() + text[1:]
    if rng.random() < 0.3 and text[-1] in ".?!" and "." not in text[:-1]:
        text = text[:-1]
    if rng.random() < 0.08:
        text = text.replace("'", "")
    if rng.random() < 0.05:
        text = _slip(rng, text)
    return text


def _slip(rng, text):
    """One letter lost, doubled or wrong, in a small-letter word (names stay right: they are repeated later)."""
    words = [m for m in re.finditer(r"\b[a-z]{4,}\b", text)]
    if not words or text.islower():
        return text
    m = rng.choice(words)
    i = rng.randrange(m.start() + 1, m.end())
    return text[:i] + rng.choice(["", text[i] * 2, rng.choice(_KEYS)]) + text[i + 1:]
