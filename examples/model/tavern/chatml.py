"""The published chat format as (text, weight) pieces: what is trained on is to the byte what a host will send.

A weight tells how much a piece counts in training: the answer asked for counts fully, earlier answers half,
and what the model only reads a little. Pieces meet at special tokens or after a newline, where the tokenizer cuts anyway.
"""
import json

READ, EARLIER, ANSWER = 0.05, 0.5, 1.0

TOOLS_HEAD = "# Tools\n\nYou have access to the following functions:\n\n<tools>"
TOOLS_TAIL = """
</tools>

If you choose to call a function ONLY reply in the following format with NO suffix:

<tool_call>
<function=example_function_name>
<parameter=example_parameter_1>
value_1
</parameter>
<parameter=example_parameter_2>
This is the value for the second parameter
that can span
multiple lines
</parameter>
</function>
</tool_call>

<IMPORTANT>
Reminder:
- Function calls MUST follow the specified format: an inner <function=...></function> block must be nested within <tool_call></tool_call> XML tags
- Required parameters MUST be specified
- You may provide optional reasoning for your function call in natural language BEFORE the function call, but NOT after
- If there is no function call available, answer the question like normal with your current knowledge and do not tell the user about function calls
</IMPORTANT>"""


def system_block(prompt, tools):
    if not tools:
        return f"<|im_start|>system\n{prompt}<|im_end|>\n" if prompt is not None else ""
    text = TOOLS_HEAD + "".join("\n" + json.dumps(t, ensure_ascii=False) for t in tools) + TOOLS_TAIL
    return "<|im_start|>system\n" + text + (f"\n\n{prompt}" if prompt else "") + "<|im_end|>\n"


def _calls(step):
    parts = []
    for name, arguments in step.calls:
        body = "".join(f"<parameter={k}>\n{v}\n</parameter>\n" for k, v in arguments.items())
        parts.append(f"<tool_call>\n<function={name}>\n{body}</function>\n</tool_call>")
    text = "\n".join(parts)
    return f"{step.words}\n\n{text}" if step.words and text else step.words + text


def _results(step):
    return "<|im_start|>user" + "".join(f"\n<tool_response>\n{r}\n</tool_response>" for r in step.results) + "<|im_end|>\n"


def render(prompt, tools, turns, thinking):
    """Pieces of a whole conversation whose last turn is the one to answer; only that one shows its reasoning."""
    pieces = [(system_block(prompt, tools), READ)]
    for i, turn in enumerate(turns):
        last = i == len(turns) - 1
        pieces.append((f"<|im_start|>user\n{turn.user}<|im_end|>\n<|im_start|>assistant\n", READ))
        for j, step in enumerate(turn.steps):
            if j:
                pieces.append((_results(turn.steps[j - 1]) + "<|im_start|>assistant\n", READ))
            if not last:
                pieces.append((_calls(step) + "<|im_end|>", EARLIER))
            elif thinking:
                pieces.append(("<think>\n", READ))
                pieces.append((f"{step.think}\n</think>\n\n{_calls(step)}<|im_end|>", ANSWER))
            else:
                pieces.append(("<think>\n\n</think>\n\n", READ))
                pieces.append((_calls(step) + "<|im_end|>", ANSWER))
            pieces.append(("\n", READ))
    return [p for p in pieces if p[0]]


def messages(prompt, turns, thinking):
    """The same conversation as a host would hold it: a list of chat messages (used to check `render`)."""
    out = [] if prompt is None else [{"role": "system", "content": prompt}]
    for turn in turns:
        out.append({"role": "user", "content": turn.user})
        for step in turn.steps:
            message = {"role": "assistant", "content": step.words, "reasoning_content": step.think if thinking else ""}
            if step.calls:
                message["tool_calls"] = [{"type": "function", "function": {"name": n, "arguments": a}} for n, a in step.calls]
            out.append(message)
            out += [{"role": "tool", "content": r} for r in step.results]
    return out
