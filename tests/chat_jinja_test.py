"""Renders random chats with Jinja itself and compares `inlay render` with it, byte for byte.

Usage: chat_jinja_test.py INLAY MODEL TEMPLATE [CHATS]    exit status 77 where Jinja is missing
"""
import json
import random
import subprocess
import sys

try:
    from jinja2.sandbox import ImmutableSandboxedEnvironment
except ImportError:
    print("no jinja2 (Debian: python3-jinja2)")
    sys.exit(77)


def environment():
    """As transformers makes it for chat templates."""
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    made.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)

    def refuse(words):
        raise ValueError(words)

    made.globals["raise_exception"] = refuse
    return made


WORDS = ["ale", "<think>", "</think>", "<|im_end|>", "\n", " ", "\t", "é", "酒", "😀", "<tool_response>", "</tool_response>",
         "\u00a0", "\u3000", "\x1c", "\"", "\\", "{%", "{{", "a b", "\r\n", "<tool_call>", "0.1", "'", "\u2028", "\x7f", "\x00"]
NUMBERS = [0, -1, 7, 10**12, 1.0, 0.1, -2.5e-7, 1e16, 123456789012345.6, 1e15, 5e-324, 1.7976931348623157e308, -0.0, 100.25]


def text(rng):
    return "".join(rng.choice(WORDS) for _ in range(rng.randrange(7)))


def value(rng, depth=0):
    kind = rng.randrange(7 if depth < 3 else 5)
    if kind == 0:
        return rng.choice([True, False, None])
    if kind in (1, 2):
        return rng.choice(NUMBERS)
    if kind in (3, 4):
        return text(rng)
    if kind == 5:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {text(rng) or "k": value(rng, depth + 1) for _ in range(rng.randrange(4))}


def message(rng):
    role = rng.choices(["user", "assistant", "tool", "system", "wizard"], [40, 40, 25, 1, 1])[0]
    made = {"role": role}
    if rng.random() < 0.95:
        made["content"] = text(rng) if rng.random() < 0.97 else None
    if role == "user" and rng.random() < 0.1:
        made["content"] = "<tool_response>" + text(rng) + "</tool_response>"
    if role == "assistant":
        if rng.random() < 0.4:
            made["reasoning_content"] = rng.choice([text(rng), text(rng), None])
        if rng.random() < 0.4:
            made["tool_calls"] = []
            for _ in range(rng.randrange(3)):
                call = {"name": rng.choice(["f", "look_up", "é"])}
                if rng.random() < 0.9:
                    call["arguments"] = {rng.choice(["a", "b", "c", "ü"]): value(rng) for _ in range(rng.randrange(4))}
                made["tool_calls"].append({"type": "function", "function": call} if rng.random() < 0.7 else call)
    return made


def chat(rng):
    made = {"messages": [message(rng) for _ in range(rng.randrange(1, 9))]}
    if rng.random() < 0.4:
        made["messages"].insert(0, {"role": "system", "content": text(rng)})
    if rng.random() < 0.95:
        made["messages"].insert(rng.randrange(min(2, len(made["messages"])) , len(made["messages"]) + 1),
                                {"role": "user", "content": text(rng)})
    if rng.random() < 0.5:
        made["tools"] = rng.choice([None, [], [value(rng, 1) for _ in range(rng.randrange(3))]])
    if rng.random() < 0.7:
        made["add_generation_prompt"] = rng.random() < 0.8
    if rng.random() < 0.5:
        made["enable_thinking"] = rng.random() < 0.5
    if rng.random() < 0.2:
        made["preserve_thinking"] = rng.random() < 0.5
    return made


def main():
    inlay, model, template_path = sys.argv[1:4]
    count = int(sys.argv[4]) if len(sys.argv) > 4 else 1000
    with open(template_path, encoding="utf-8") as file:
        template = environment().from_string(file.read())
    rng = random.Random(7)
    chats = [chat(rng) for _ in range(count)]
    lines = "\n".join(json.dumps(made, ensure_ascii=rng.random() < 0.5) for made in chats)
    out = subprocess.run([inlay, "render", model, "--lines"], input=lines.encode(), stdout=subprocess.PIPE, check=True).stdout
    results = [json.loads(line) for line in out.decode().split("\n") if line]
    assert len(results) == count, (len(results), count)
    errors = 0
    for made, result in zip(chats, results):
        try:
            expected = {"rendered": template.render(**made)}
        except Exception as error:  # whatever the template trips over
            expected = {"error": str(error)}
            errors += 1
        if result != expected and not ("error" in result and "error" in expected):
            print(json.dumps(made, ensure_ascii=False))
            print("expected", repr(expected))
            print("got     ", repr(result))
            return 1
        if "error" in expected and result != expected:
            print("other words:", expected["error"], "|", result["error"])
    print(f"{count} chats alike, {errors} of them refused")
    return 0 if errors < count / 2 else 1


sys.exit(main())
