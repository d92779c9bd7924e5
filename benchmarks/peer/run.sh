#!/bin/sh
# Measures Inlay and llama.cpp in turn on the same file, in one run.
# sh benchmarks/peer/run.sh MODEL.gguf [THREADS] [PROMPT] [DECODE] [REPEAT]
# Needs a finished build (INLAY=path/to/inlay to name another), node and npm; installs node-llama-cpp here.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
model=$1
threads=${2:-$(nproc)}
prompt=${3:-256}
decode=${4:-64}
repeat=${5:-3}
inlay=${INLAY:-$here/../../build/default/inlay}
[ -d "$here/node_modules/node-llama-cpp" ] || (cd "$here" && npm install --no-audit --no-fund >&2)
# In turn, twice, so that a drift of the machine shows as a spread between the rounds.
for round in 1 2; do
  "$inlay" bench "$model" --threads "$threads" --prefill "$prompt" --decode "$decode" --repeat "$repeat" --json
  (cd "$here" && node llama.mjs "$model" "$threads" "$prompt" "$decode" "$repeat")
done
