#!/bin/sh
# Builds the `inlay` command and lets the bundled model answer.
# Usage: sh examples/quickstart.sh [PROMPT]
set -eu
cd "$(dirname "$0")/.."
prompt=${1:-"Three ales and two bowls of stew, please."}

sh tests/need_packages.sh

began=$(date +%s)
cmake --preset default >/dev/null
cmake --build --preset default --target inlay_command
built=$(date +%s)

printf "%s\n" "$prompt" | build/default/inlay chat examples/model/tavern.gguf --think on --temp 0
printf '\nbuilt in %d s, answered in %d s\n' $((built - began)) $(($(date +%s) - built))
