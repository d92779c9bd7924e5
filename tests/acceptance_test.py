#!/usr/bin/env python3
"""The share of MTP drafts that is accepted is the one that a file was built for, to a percentage point.

The golden data's tools make a model that counts upward and whose MTP head is wrong for a chosen share of the
tokens. Which drafts are right follows from the token ids alone, so the figures that `inlay bench` prints are
known beforehand.
Usage: acceptance_test.py INLAY
"""
import json
import os
import subprocess
import sys
import tempfile

SKIPPED = 77
WRONG = 28  # percent
PROMPT = 64
TOKENS = 384


def is_wrong(token):
    """What make_model.py's --wrong says of a token's row in the MTP head."""
    return token * 2654435761 % 2**32 % 100 < WRONG


def last_of_prompt(vocabulary):
    """The last of the tokens that `inlay bench` makes up as a prompt."""
    state = 0x9E3779B97F4A7C15
    for _ in range(PROMPT):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        token = (state >> 33) % vocabulary
    return token


def expected(width, vocabulary):
    """Drafted and accepted, from the first sampled token on."""
    token = (last_of_prompt(vocabulary) + 1) % vocabulary
    made, drafted, accepted = 1, 0, 0
    while made < TOKENS:
        right = 0
        while right < width and not is_wrong((token + right + 1) % vocabulary):
            right += 1
        drafted += width
        accepted += right
        made += right + 1
        token = (token + right + 1) % vocabulary
    return drafted, accepted


def main():
    inlay = sys.argv[1]
    source = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    golden = os.environ.get("INLAY_TEST_DATA") or os.path.join(source, "..", "shared")
    make_model = os.path.join(golden, "tools", "make_model.py")
    try:
        import numpy  # noqa: F401  make_model.py needs it
    except ImportError:
        print("no numpy")
        return SKIPPED
    if not os.path.exists(make_model):
        print("no make_model.py")
        return SKIPPED
    with tempfile.TemporaryDirectory() as folder:
        model = os.path.join(folder, "model.gguf")
        subprocess.run([sys.executable, make_model, "--shape", "tiny", "--quant", "q8_0", "--behaviour", "successor",
                        "--wrong", str(WRONG), "--mtp", "1", model], check=True, stdout=subprocess.DEVNULL)
        vocabulary = json.loads(subprocess.run([inlay, "info", model, "--json"], check=True,
                                               stdout=subprocess.PIPE).stdout)["vocabulary_size"]
        failed = False
        for width in (1, 2, 3, 4, 7):
            out = subprocess.run([inlay, "bench", model, "--prefill", str(PROMPT), "--decode", str(TOKENS), "--repeat",
                                  "1", "--draft", f"mtp:{width}", "--json"], check=True, stdout=subprocess.PIPE).stdout
            seen = json.loads(out.splitlines()[-1])
            drafted, accepted = expected(width, vocabulary)
            # The last round may be cut short, and a long chain may stray in the model's random body.
            right = abs(seen["accepted"] / seen["drafted"] - accepted / drafted) < 0.01
            failed |= not right
            print(f"mtp:{width}: {seen['accepted']} of {seen['drafted']} accepted, expected {accepted} of {drafted}"
                  f"{'' if right else ': wrong'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
