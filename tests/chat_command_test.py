"""Talks to `inlay chat` through a pipe: its commands, its tools, and that what it prints can be read there.

Usage: chat_command_test.py INLAY MODEL
"""
import json
import os
import subprocess
import sys
import tempfile


def chat(tool, model, lines, *options):
    done = subprocess.run([tool, "chat", model, "--seed", "3", *options], input="\n".join(lines).encode(), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def require(condition, words, *shown):
    if not condition:
        print("failed:", words, *shown, sep="\n")
        sys.exit(1)


def main():
    tool, model = sys.argv[1:3]
    folder = tempfile.TemporaryDirectory()
    path = os.path.join(folder.name, "talk.json")

    # Greedy, thinking: a warning apart, reasoning marked, no escape codes.
    status, out, err = chat(tool, model, ["/think on", "Three ales and two bowls of stew, please.", "/tokens", "/quit"], "--temp", "0")
    require(status == 0, "it ends well", err)
    require("\x1b" not in out, "no escape codes in a pipe", repr(out))
    require("> Three ales" in out and "(thinks) " in out and "14" in out, "what was said, thought and answered", out)
    require("greedy" in err and "greedy" not in out, "a warning on stderr alone", err)
    figures = next((line for line in out.split("\n") if " tokens; the last turn fed " in line), "")
    words = figures.replace(",", "").split()
    numbers = [int(word) for word in words if word.isdigit()]
    require(len(numbers) == 6, "/tokens has its numbers", out)
    position, context, fed, kept, thought, said = numbers
    require(0 < position < context and fed > 0 and kept == 0 and thought > 5 and said > 5, "and they can be true", figures)
    require(position in (fed + thought + said, fed + thought + said - 1), "and add up: the last token may wait", figures)

    # No thought where it is off, and none in the text.
    status, out, err = chat(tool, model, ["/think off", "Thank you, Bram."], "--temp", "0")
    require(status == 0 and "(thinks)" not in out and err.strip() == "", "not thinking", out, err)

    # A budget for thinking is kept.
    status, out, err = chat(tool, model, ["Three ales and two bowls of stew, please.", "/tokens"], "--think", "on", "--think-budget", "6")
    thought = int(out.split(" thought ")[1].split(",")[0])
    require(status == 0 and 6 <= thought <= 12, "six tokens of thought and its end", out, err)

    # Tools are called and shown, with drafts as without.
    said = []
    for draft in ("none", "mtp:3"):
        lines = ["What does the ale cost today? Look it up.", "/tokens", "/save " + path, "/quit"]
        status, out, err = chat(tool, model, lines, "--tools", "--think", "off", "--temp", "0", "--draft", draft)
        require(status == 0 and "[look_up_price: " in out and "saved" in out, "a tool is called", out, err)
        said.append(out)
    require(said[0] == said[1], "drafts change nothing", *said)
    with open(path) as file:
        saved = json.load(file)
    require([message["role"] for message in saved][:3] == ["user", "assistant", "tool"], "what was saved", saved)
    require(saved[1]["tool_calls"][0]["name"] == "look_up_price", "with the call", saved)

    # Loaded, it goes on.
    status, out, err = chat(tool, model, ["/load " + path, "/think off", "Thank you.", "/tokens"], "--tools")
    require(status == 0 and "loaded" in out, "it is loaded", out, err)
    more = int(next(line for line in out.split("\n") if " tokens; " in line).split()[0])
    require(more > 100, "with all that was said", out)
    status, out, err = chat(tool, model, ["/load " + path + ".nowhere", "/save /nowhere/x"])
    require(status == 0 and "cannot read" in out and "cannot write" in out, "what cannot be read or written", out, err)
    status, out, err = chat(tool, model, ["/think maybe"])
    require(status == 1 and err.count("\n") == 1, "one clear line", out, err)
    print("inlay chat: a pipe's reader can follow it")


main()
