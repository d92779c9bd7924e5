#!/bin/sh
# Builds the library, then an example, and runs it with the bundled model. It prints the commands that it runs.
#
#   sh examples/run.sh SCENE [LANGUAGE] [ARGUMENT...]   LANGUAGE: c (the default), rust, go or csharp
#   sh examples/run.sh compare                          every scene in every language: the texts must be equal
set -eu
cd "$(dirname "$0")/.."
usage() { sed -n '2,6s/^# \{0,1\}//p' examples/run.sh; exit "$1"; }

scene=${1:-}
language=${2:-c}
[ -n "$scene" ] || usage 1
[ $# -lt 2 ] || shift
shift

build=$PWD/build/default
out=$PWD/build/examples
mkdir -p "$out"
# The library as it was built, before any that is installed: build/default has an inlay-uninstalled.pc.
PKG_CONFIG_PATH=$build${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/build/cargo}
export PKG_CONFIG_PATH CARGO_TARGET_DIR

tell() { printf '%s\n' "$*" >&2; "$@"; }

library() {
  sh tests/need_packages.sh >&2
  cmake --preset default >"$out/configure.log" || { cat "$out/configure.log" >&2; return 1; }
  cmake --build --preset default --target inlay >"$out/build.log" || { tail -n 40 "$out/build.log" >&2; return 1; }
  echo "PKG_CONFIG_PATH=$build" >&2
}

# build_one LANGUAGE SCENE: makes $out/SCENE.LANGUAGE
build_one() {
  source=examples/$2/$2
  case $1 in
    c)
      # shellcheck disable=SC2046  # the flags are words
      tell cc -std=c99 -O2 -Wall -Wextra -Werror "$source.c" -o "$out/$2.c" $(pkg-config --cflags --libs inlay)
      ;;
    rust)
      command -v cargo >/dev/null 2>&1 || sh tests/need_packages.sh cargo rustc >&2
      tell cargo build --quiet --offline --manifest-path bindings/rust/Cargo.toml --example "$2" || return 1
      # What cargo itself would tell the loader.
      cp "$CARGO_TARGET_DIR/debug/examples/$2" "$out/$2.rust"
      ;;
    go)
      command -v go >/dev/null 2>&1 || sh tests/need_packages.sh golang-go >&2
      (cd bindings/go && tell go build -o "$out/$2.go" "../../$source.go")
      ;;
    csharp)
      command -v mcs >/dev/null 2>&1 || sh tests/need_packages.sh mono-mcs mono-runtime >&2
      [ "$out/Inlay.dll" -nt bindings/csharp/Inlay ] && [ -z "$(find bindings/csharp/Inlay -newer "$out/Inlay.dll")" ] ||
        tell mcs -unsafe -langversion:latest -target:library "-out:$out/Inlay.dll" bindings/csharp/Inlay/*.cs
      tell mcs -langversion:latest "-out:$out/$2.exe" "-r:$out/Inlay.dll" "$source.cs"
      ;;
    *) usage 1 >&2 ;;
  esac
}

# run_one LANGUAGE SCENE [ARGUMENT...]
run_one() {
  language=$1
  scene=$2
  shift 2
  case $language in
    csharp) LD_LIBRARY_PATH=$build mono "$out/$scene.exe" "$@" ;;
    *) LD_LIBRARY_PATH=$build "$out/$scene.$language" "$@" ;;
  esac
}

compare() {
  wrong=0
  for folder in examples/*/; do
    scene=$(basename "$folder")
    [ -e "$folder$scene.rs" ] || continue  # it is C's alone
    for language in c rust go csharp; do
      build_one "$language" "$scene" 2>"$out/$scene.log" || { cat "$out/$scene.log"; wrong=1; continue; }
      run_one "$language" "$scene" >"$out/$scene.$language.txt" 2>"$out/$scene.log" ||
        { echo "$scene in $language: exit status $?"; cat "$out/$scene.log"; wrong=1; }
    done
    for language in rust go csharp; do
      diff -u "$out/$scene.c.txt" "$out/$scene.$language.txt" || { echo "$scene differs in $language"; wrong=1; }
    done
    echo "$scene: $(wc -c <"$out/$scene.c.txt") bytes"
  done
  return $wrong
}

if [ "$scene" = compare ]; then
  library
  compare
  exit
fi
[ -d "examples/$scene" ] || usage 1 >&2
library
build_one "$language" "$scene"
run_one "$language" "$scene" "$@"
