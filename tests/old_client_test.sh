#!/bin/sh
# A client built against the first header runs on today's library, and says what one built today says.
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
cat "$work/first.txt"
cmp "$work/first.txt" "$work/today.txt"
