#!/bin/sh
# A client built against the first header runs on today's library, and says what one built today says. One that was
# linked then looks for the library by the name that it had.
# Usage: old_client_test.sh LIBRARY TESTS_DIR INCLUDE_DIR MODEL C_COMPILER
set -eu
library=$1
tests=$2
include=$3
model=$4
cc=$5

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for age in first today; do
  case $age in first) headers=$tests/abi/first ;; *) headers=$include ;; esac
  "$cc" -std=c99 -Wall -Wextra -Werror "-I$headers" "$tests/abi/first_client.c" "$library" \
    "-Wl,-rpath,$(dirname "$library")" -o "$work/$age"
  "$work/$age" "$model" >"$work/$age.txt"
done
name=libinlay.so.$(sed -n 's/^#define INLAY_VERSION_MAJOR //p' "$tests/abi/first/inlay/inlay.h")
readelf -d "$library" | grep -q "SONAME.*\[$name\]" || { echo "the library's name is not $name"; exit 1; }
cat "$work/first.txt"
cmp "$work/first.txt" "$work/today.txt"
