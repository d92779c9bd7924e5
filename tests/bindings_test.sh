#!/bin/sh
# The bindings and the examples: generated files are the header's, each language's tests, an installed tree found by
# pkg-config and by an explicit path, libraries of other versions refused, and the examples' texts equal in all of them.
# Usage: bindings_test.sh BUILD_DIR      of a finished build of the default preset's libraries and command
set -u
cd "$(dirname "$0")/.." || exit 1
build=$(cd "$1" && pwd)
out=$PWD/build/bindings
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
mkdir -p "$out"
PKG_CONFIG_PATH=$build
CARGO_TARGET_DIR=$PWD/build/cargo
export PKG_CONFIG_PATH CARGO_TARGET_DIR
failed=0
seen=0

# step NAME COMMAND...: one line of result; the log where it failed
step() {
  name=$1
  shift
  began=$(date +%s)
  if ("$@") >"$out/step.log" 2>&1; then result=passed; else result=FAILED; failed=1; cat "$out/step.log"; fi
  seen=$((seen + 1))
  printf '   %-22s %4d s  %s\n' "$name" $(($(date +%s) - began)) "$result"
}

# has PROGRAM...: says which is missing
has() {
  for program; do
    command -v "$program" >/dev/null 2>&1 || { printf '   %-22s skipped: no %s\n' "$language" "$program"; return 1; }
  done
}

header_is_described() {
  sh bindings/layout.sh text include/inlay/inlay.h | diff -u bindings/layout.txt - ||
    { echo "bindings/layout.txt is not what C says: sh bindings/generate.sh"; return 1; }
}

rust_tests() {
  LD_LIBRARY_PATH=$build cargo test --offline --jobs "$jobs" --manifest-path bindings/rust/Cargo.toml
}

go_tests() {
  cd bindings/go || return 1
  [ -z "$(gofmt -l . ../../examples)" ] || { gofmt -d . ../../examples; return 1; }
  go vet ./... && go test -race ./... && go test -run Thousand .
}

installed_rust() {
  CARGO_TARGET_DIR=$out/cargo-installed
  rm -rf "$CARGO_TARGET_DIR"
  hello="cargo run --quiet --offline --manifest-path bindings/rust/Cargo.toml --example hello"
  PKG_CONFIG_PATH=$libdir/pkgconfig $hello -- "$model" "Once" &&
    INLAY_LIB_DIR=$libdir PKG_CONFIG_PATH='' $hello -- "$model" "Once"
}

# Go's cache does not see what pkg-config answers, but it does see CGO_CFLAGS.
installed_go() {
  cd bindings/go && PKG_CONFIG_PATH=$libdir/pkgconfig CGO_CFLAGS="-O2 -DINSTALLED" go build -o "$out/hello_pc" ../../examples/hello/hello.go &&
    LD_LIBRARY_PATH=$libdir "$out/hello_pc" "$model" "Once" &&
    PKG_CONFIG_PATH='' CGO_CFLAGS="-I$prefix/include" CGO_LDFLAGS="-L$libdir -Wl,-rpath,$libdir" \
      go build -tags inlay_path -o "$out/hello_path" ../../examples/hello/hello.go && "$out/hello_path" "$model" "Once"
}

installed_csharp() {
  LD_LIBRARY_PATH=$libdir mono "$out/csharp/NETSTANDARD2_0/InlayTests.exe" TextComesWithAndWithoutDrafts &&
    mono "$out/csharp/NETSTANDARD2_0/InlayTests.exe" --library "$libdir/libinlay.so" TextComesWithAndWithoutDrafts
}

# stand_in MAJOR MINOR: a library that says it is of that version, for binaries that were made for another.
stand_in() {
  printf '%s\n' "unsigned inlay_version(void) { return $1u << 16 | $2u << 8; }" \
    'const char *inlay_status_name(int status) { return status == -6 ? "INLAY_ERROR_UNSUPPORTED" : ""; }' >"$out/stand_in.c"
  cc -shared -fPIC "$out/stand_in.c" -o "$out/libinlay-$1.$2.so"
}

# refuses VERSION COMMAND...: it fails and says what it found
refuses() {
  version=$1
  shift
  if "$@" >"$out/refused.log" 2>&1; then echo "took the version $version"; return 1; fi
  grep -F "libinlay is $version" "$out/refused.log" || { cat "$out/refused.log"; return 1; }
}

# Another major version, and one older than the header.
refuse_all() {
  for version in 9.1 0.0; do
    wrong=$out/libinlay-$version.so
    stand_in "${version%.*}" "${version#*.}" || return 1
    case $1 in
      rust) LD_LIBRARY_PATH=$libdir LD_PRELOAD=$wrong refuses "$version.0" "$out/cargo-installed/debug/examples/hello" "$model" ;;
      go) LD_PRELOAD=$wrong refuses "$version.0" "$out/hello_path" "$model" ;;
      csharp) refuses "$version.0" mono "$out/csharp/NETSTANDARD2_0/InlayTests.exe" --library "$wrong" TextComesWithAndWithoutDrafts ;;
    esac || return 1
  done
}

model=$PWD/examples/model/tavern.gguf
prefix=$out/prefix
rm -rf "$prefix"
language=header
step 'header: layout' header_is_described
if [ "$(bindgen --version 2>/dev/null)" = "bindgen 0.60.1" ]; then
  step 'header: generated' sh bindings/generate.sh check
else
  echo "   header: generated      skipped: the files are those of bindgen 0.60.1"
fi
step 'install' cmake --install "$build" --prefix "$prefix"
libdir=$(dirname "$(find "$prefix" -name 'libinlay.so' | head -n 1)")

language=rust
if has cargo rustc; then
  step 'rust: tests' rust_tests
  step 'rust: installed' installed_rust
  step 'rust: other versions' refuse_all rust
fi
language=go
if has go; then
  step 'go: tests' go_tests
  step 'go: installed' installed_go
  step 'go: other versions' refuse_all go
fi
language=csharp
if has mcs mono; then
  step 'csharp: tests' sh bindings/csharp/test.sh "$build" "$out/csharp"
  step 'csharp: installed' installed_csharp
  step 'csharp: other versions' refuse_all csharp
fi
language=examples
if has cargo go mcs mono; then step 'examples: compare' sh examples/run.sh compare; fi

if [ $failed != 0 ]; then exit 1; fi
echo "$seen steps passed"
