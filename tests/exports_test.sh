#!/bin/sh
# The shared library must export exactly the functions that the public header declares.
# Usage: exports_test.sh LIBRARY HEADER NM C_COMPILER
set -eu
library=$1
header=$2
nm=$3
cc=$4

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# INLAY_API becomes an attribute when the header is preprocessed; the word before the first parenthesis after
# it is the function's name.
"$cc" -std=c99 -E -P "$header" | tr '\n' ' ' |
  sed 's/__attribute__ *((visibility("default")))/\n@/g' |
  sed -n 's/^@\([^(;]*\)(.*/\1/p' | sed 's/.*[^A-Za-z0-9_]\([A-Za-z0-9_]\{1,\}\) *$/\1/' |
  sort >"$work/declared"
"$nm" -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort >"$work/exported"

[ -s "$work/declared" ] || { echo "no declaration found in $header"; exit 1; }
if ! diff "$work/declared" "$work/exported" >"$work/difference"; then
  echo "declared in inlay.h (<) and exported by $(basename "$library") (>) differ:"
  cat "$work/difference"
  exit 1
fi
echo "$(wc -l <"$work/declared") functions declared and exported"
