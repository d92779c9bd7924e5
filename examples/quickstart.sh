#!/bin/sh
# Builds the `inlay` command and lets the bundled model answer.
# Usage: sh examples/quickstart.sh [PROMPT]
set -eu
cd "$(dirname "$0")/.."
prompt=${1:-"Good evening! What would a bowl of stew and a bed for the night cost me?"}

sh tests/need_packages.sh cmake ninja-build gcc g++ pkg-config doctest-dev libbenchmark-dev libutf8proc-dev

began=$(date +%s)
cmake --preset default >/dev/null
cmake --build --preset default --target inlay_command
built=$(date +%s)

build/default/inlay generate examples/model/tavern.gguf -p "$prompt" -n 200 --seed 1
printf '\nbuilt in %d s, answered in %d s\n' $((built - began)) $(($(date +%s) - built))
