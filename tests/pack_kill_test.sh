#!/bin/sh
# Kills `inlay pack` at RUNS random moments of its run: what it leaves is no package, the one that was
# there before, or a whole new one, and the next run succeeds.
# Usage: pack_kill_test.sh INLAY MODEL [RUNS]
set -u
inlay=$1
model=$2
runs=${3:-100}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
out=$work/out.inlay

# With quantising, so that most of a run is the making of the file.
pack() { "$inlay" pack "$model" -o "$out" --quant q2_k; }
whole() { "$inlay" info "$out" --verify >"$work/log" 2>&1 || { cat "$work/log"; return 1; }; }

began=$(date +%s%N)
pack >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
took=$((($(date +%s%N) - began) / 1000))  # microseconds

met=0
packages=0
i=0
while [ $i -lt "$runs" ]; do
  # Every other run finds an earlier package in its place.
  if [ $((i % 2)) = 1 ]; then
    rm -f "$out"
  elif [ ! -e "$out" ]; then
    pack >"$work/log" 2>&1 || { echo "a run after a kill failed"; cat "$work/log"; exit 1; }
  fi
  rm -f "$out.partial"
  "$inlay" pack "$model" -o "$out" --quant q2_k >"$work/log" 2>&1 &
  pid=$!
  sleep "$(awk -v i=$i -v took=$took 'BEGIN { srand(i); printf "%.4f", rand() * took / 1e6 }')"
  kill -9 $pid 2>/dev/null
  wait $pid 2>/dev/null
  [ ! -e "$out.partial" ] || met=$((met + 1))
  if [ -e "$out" ]; then
    whole || { echo "run $i left a package that is not whole"; exit 1; }
    packages=$((packages + 1))
  elif [ $((i % 2)) = 0 ]; then
    echo "run $i took the earlier package away"
    exit 1
  fi
  # Nothing but the package and the partial file, which the next run replaces.
  find "$work" -type f ! -name out.inlay ! -name out.inlay.partial ! -name log | grep . && exit 1
  i=$((i + 1))
done
echo "of a program that was killed" >"$out.partial"
pack >"$work/log" 2>&1 || { echo "the run after the kills failed"; cat "$work/log"; exit 1; }
whole || exit 1
[ ! -e "$out.partial" ] || { echo "the partial file is still there"; exit 1; }
echo "$met of $runs kills met the file being written, $packages left a whole package"
[ $((met * 10)) -ge "$runs" ] || { echo "too few to mean anything"; exit 1; }
