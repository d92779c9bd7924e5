#!/bin/sh
# Runs one fuzz target for a while, from its seeds; what it finds stays under BUILD_DIR.
# Usage: run_one.sh BUILD_DIR NAME
set -u
build=$1
name=$2
seeds=tests/fuzz/corpus/$name
found=$build/corpus/$name
log=$build/$name.log
mkdir -p "$found"
if ASAN_OPTIONS=allocator_may_return_null=1 "$build/tests/fuzz/${name}_fuzz" -max_total_time="${INLAY_FUZZ_SECONDS:-60}" \
  -timeout=20 -rss_limit_mb=2048 -artifact_prefix="$build/$name-" "$found" "$seeds" >"$log" 2>&1; then
  echo "$name: $(tail -n 1 "$log")"
else
  tail -n 60 "$log"
  echo "$name: FAILED, the input stands above"
  exit 1
fi
