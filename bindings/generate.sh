#!/bin/sh
# Writes again what is generated from the public header and committed: the declarations of inlay-sys, the list for
# its layout test, and bindings/layout.txt, which every language's test compares itself with. Needs bindgen 0.60 or
# later and a C compiler. With `check` it writes nothing and fails where something differs.
set -eu
cd "$(dirname "$0")/.."
header=include/inlay/inlay.h
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

bindgen "$header" --allowlist-function 'inlay_.*' --allowlist-type 'inlay_.*' --allowlist-var 'INLAY_.*' \
  --blocklist-type "__.*" --no-layout-tests --no-prepend-enum-name --default-enum-style consts --size_t-is-usize --no-doc-comments \
  -- -std=c99 | sed '1s/.*/\/* Generated from inlay.h by generate.sh: do not edit. *\//' >"$work/bindings.rs"
{
  echo '// Generated from inlay.h by generate.sh: do not edit.'
  echo 'fn describe(text: &mut String) {'
  sh bindings/layout.sh rust "$header"
  echo '}'
} >"$work/layout_list.rs"
sh bindings/layout.sh go "$header" >"$work/list.go"
sh bindings/layout.sh text "$header" >"$work/layout.txt"
sh bindings/csharp.sh "$header" "$work/layout.txt" >"$work/Native.g.cs"

place() {
  if [ "${check:-}" = check ]; then
    diff -u "$2" "$work/$1" || { echo "$2 is not what the header gives: sh bindings/generate.sh"; exit 1; }
  else
    cp "$work/$1" "$2"
  fi
}
check=${1:-}
place bindings.rs bindings/rust/inlay-sys/src/bindings.rs
place layout_list.rs bindings/rust/inlay-sys/tests/layout/list.rs
place list.go bindings/go/internal/layout/list.go
place layout.txt bindings/layout.txt
place Native.g.cs bindings/csharp/Inlay/Native.g.cs
