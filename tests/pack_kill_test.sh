#!/bin/sh
# Kills `inlay pack` at a hundred moments: what it leaves is no package or a whole one, and a next run succeeds.
# Usage: pack_kill_test.sh INLAY MODEL
set -u
inlay=$1
model=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
out=$work/out.inlay
whole=0
killed=0
i=0
while [ $i -lt 100 ]; do
  rm -f "$out"
  "$inlay" pack "$model" -o "$out" >"$work/log" 2>&1 &
  pid=$!
  sleep "$(awk -v i=$i 'BEGIN { srand(i); printf "%.4f", rand() * 0.03 }')"
  kill -9 $pid 2>/dev/null && killed=$((killed + 1))
  wait $pid 2>/dev/null
  if [ -e "$out" ]; then
    "$inlay" info "$out" --verify >/dev/null || { echo "run $i left a package that is not whole"; exit 1; }
    whole=$((whole + 1))
  fi
  # Nothing but the package and the partial file, which the next run replaces.
  find "$work" -type f ! -name out.inlay ! -name out.inlay.partial ! -name log | grep . && exit 1
  i=$((i + 1))
done
"$inlay" pack "$model" -o "$out" >/dev/null || { echo "the run after the kills failed"; exit 1; }
"$inlay" info "$out" --verify >/dev/null || exit 1
[ ! -e "$out.partial" ] || { echo "the partial file is still there"; exit 1; }
echo "$killed of 100 runs were killed, $whole left a whole package"
