#!/bin/sh
# Every public header must compile by itself as strict C and C++, its _INIT macros included.
# Usage: header_test.sh INCLUDE_DIR C_COMPILER CXX_COMPILER
set -eu
include=$1
cc=$2
cxx=$3

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for header in "$include"/inlay/*.h; do
  name=inlay/$(basename "$header")
  {
    echo "#include <$name>"
    echo "void use_every_init(void);"
    echo "void use_every_init(void) {"
    sed -n 's/^#define \(INLAY_[A-Z0-9_]*\)_INIT .*/\1/p' "$header" | while read -r macro; do
      type=$(echo "$macro" | tr '[:upper:]' '[:lower:]')
      echo "  { $type value = ${macro}_INIT; (void)value; }"
    done
    echo "}"
  } >"$work/header.c"
  for standard in c99 c11 c17; do
    "$cc" "-std=$standard" -pedantic -Wall -Wextra -Wstrict-prototypes -Werror -fsyntax-only "-I$include" \
      "$work/header.c"
    echo "$name: $standard"
  done
  for standard in c++17 c++20; do
    "$cxx" -x c++ "-std=$standard" -pedantic -Wall -Wextra -Werror -fsyntax-only "-I$include" "$work/header.c"
    echo "$name: $standard"
  done
done
