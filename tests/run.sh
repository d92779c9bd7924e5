#!/bin/sh
# Installs what is missing (on Debian), configures, builds and tests.
#
#   sh tests/run.sh              the default preset's suite; the list of `ci` where CI=true
#   sh tests/run.sh PRESET       the suite of one preset: default, debug, asan, tsan, aarch64, cuda
#   sh tests/run.sh all          the suites of default, debug, asan, tsan and aarch64
#   sh tests/run.sh ci           what CI runs: format, default, asan, fuzz (GGUF and tokenizer), tsan, bindings,
#                                compile-cuda
#   sh tests/run.sh full         that with all fuzz targets, and tidy, aarch64, old-cpu (the suite on an emulated processor
#                                without AVX)
#   sh tests/run.sh bindings     Rust, Go and C# against the library, and the examples in all of them
#   sh tests/run.sh PHASE...     any of the names above, in turn
#
# Golden data is looked for in $INLAY_TEST_DATA, else in ../shared; tests that miss it report "skipped".
# INLAY_FUZZ_SECONDS (60) is a fuzz target's time, INLAY_FUZZ_TARGETS (all) names the targets, INLAY_TIDY_SECONDS (480) is
# clang-tidy's time.
set -u
cd "$(dirname "$0")/.." || exit 1

jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
skipped=77
if command -v ccache >/dev/null 2>&1; then
  export CMAKE_C_COMPILER_LAUNCHER=ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache CMAKE_CUDA_COMPILER_LAUNCHER=ccache
fi

need() { sh tests/need_packages.sh "$@"; }
need_clang() { need clang libclang-rt-dev llvm; }

sources() { git ls-files --cached --others --exclude-standard -- "$@" | while read -r file; do
  [ ! -f "$file" ] || echo "$file"
done; }

# build PRESET [CMAKE_OPTION...]
build() {
  preset=$1
  shift
  cmake --preset "$preset" "$@" >"build/$preset.configure.log" || { cat "build/$preset.configure.log"; return 1; }
  cmake --build --preset "$preset" --parallel "$jobs"
}

# suite PRESET [CTEST_OPTION...]
suite() {
  preset=$1
  shift
  build "$preset" && ctest --preset "$preset" --parallel "$jobs" --output-log "build/$preset.ctest.log" "$@"
}

phase_default() { suite default; }
phase_debug() { suite debug; }
phase_asan() { need_clang && suite asan; }
phase_tsan() { need_clang && suite tsan --label-exclude slow; }
phase_cuda() { find_nvcc && suite cuda; }

phase_aarch64() {
  need g++-aarch64-linux-gnu qemu-user libutf8proc-dev:arm64 libstdc++6:arm64
  suite aarch64 --label-exclude 'slow|arithmetic'
}

# Where dispatch goes wrong, a processor without AVX shows it.
phase_old_cpu() {
  need qemu-user
  command -v qemu-x86_64 >/dev/null 2>&1 || { echo "no qemu-x86_64"; return $skipped; }
  case $(uname -m) in x86_64) ;; *) echo "not an x86-64 machine"; return $skipped ;; esac
  build default || return 1
  files=$(ctest --preset default --show-only --label-exclude 'slow|arithmetic|minutes' |
    sed -n 's/.*: \([a-z0-9_]*\)$/\1/p' | while read -r noun; do
    [ ! -e "tests/${noun}_test.cpp" ] || printf '*/%s_test.cpp,' "$noun"
  done)
  INLAY_TEST_EMULATED=1 timeout 900 qemu-x86_64 -cpu Nehalem build/default/tests/inlay_tests "--source-file=$files"
  status=$?
  # Tests without golden data are skipped here as they were in the default suite; the others have passed.
  [ $status = $skipped ] || return $status
}

find_nvcc() {
  if ! command -v nvcc >/dev/null 2>&1; then
    [ -x /usr/local/cuda/bin/nvcc ] || { echo "no nvcc"; return $skipped; }
    PATH=$PATH:/usr/local/cuda/bin
  fi
  [ -e kernels/cuda/CMakeLists.txt ] || { echo "no CUDA kernels"; return $skipped; }
}

phase_compile_cuda() { find_nvcc && build cuda -DCMAKE_CUDA_ARCHITECTURES=90; }

phase_bindings() {
  need
  for package in bindgen golang-go mono-mcs mono-runtime; do need $package; done
  command -v cargo >/dev/null 2>&1 || need cargo rustc
  cmake --preset default >build/default.configure.log || { cat build/default.configure.log; return 1; }
  cmake --build --preset default --parallel "$jobs" --target inlay inlay_static inlay_command >build/bindings.build.log ||
    { tail -n 40 build/bindings.build.log; return 1; }
  sh tests/bindings_test.sh build/default
}

phase_fuzz() {
  need_clang
  build asan || return 1
  targets=${INLAY_FUZZ_TARGETS:-$(cd build/asan/tests/fuzz && ls -d ./*_fuzz 2>/dev/null | sed 's|^\./||; s|_fuzz$||')}
  [ -n "$targets" ] || { echo "no fuzz targets"; return $skipped; }
  echo "$targets" | xargs -P 2 -n 1 sh tests/fuzz/run_one.sh build/asan
}

phase_format() {
  need clang-format
  case $(clang-format --version 2>/dev/null) in
    *"version 14."*) ;;
    *) echo "the format is that of clang-format 14"; return $skipped ;;
  esac
  wrong=
  # Headers of earlier releases stay as they were.
  for file in $(sources '*.c' '*.h' '*.cpp' '*.cu' '*.cuh' ':!tests/abi/*/inlay/inlay.h'); do
    clang-format "$file" | diff -u --label "$file" --label "$file, formatted" "$file" - >>build/format.diff ||
      wrong="$wrong $file"
  done
  [ -n "$wrong" ] || return 0
  head -n 100 build/format.diff
  echo "clang-format -i$wrong"
  return 1
}

phase_tidy() {
  need clang-tidy
  [ -e build/default/compile_commands.json ] || build default || return 1
  # What changed last comes first, for the time may not do for everything.
  { git log --since=1.day --name-only --format= -- '*.cpp' 2>/dev/null; sources '*.cpp'; } |
    awk '!seen[$0]++' | while read -r file; do
    ! grep -qF "/$file\"" build/default/compile_commands.json || echo "$file"
  done >build/tidy.files
  rm -rf build/tidy
  mkdir -p build/tidy
  deadline=$(($(date +%s) + ${INLAY_TIDY_SECONDS:-480}))
  xargs -P "$jobs" -n 1 sh tests/tidy_one.sh build/default build/tidy $deadline <build/tidy.files
  status=$?
  echo "clang-tidy saw $(find build/tidy -name '*.log' | wc -l) of $(wc -l <build/tidy.files) files"
  return $status
}

case ${1:-} in
  '') [ "${CI:-}" = true ] && set -- ci || set -- default ;;
esac
case $1 in
  ci)
    INLAY_FUZZ_TARGETS=${INLAY_FUZZ_TARGETS:-gguf tokenizer}
    set -- format default asan fuzz tsan bindings compile-cuda
    ;;
  full) set -- format default tidy old-cpu asan fuzz tsan bindings aarch64 compile-cuda ;;
  all) set -- default debug asan tsan aarch64 ;;
esac

mkdir -p build
rm -f build/*.ctest.log build/format.diff
need
failed=0
summary=
for phase; do
  function=phase_$(echo "$phase" | tr - _)
  if ! command -v "$function" >/dev/null 2>&1; then
    echo "run.sh: no phase '$phase'; the head of this file lists them" >&2
    exit 1
  fi
  echo "== $phase"
  began=$(date +%s)
  "$function"
  case $? in
    0) result=passed ;;
    "$skipped") result=skipped ;;
    *) result=FAILED failed=1 ;;
  esac
  closing=$(grep -h 'tests passed' "build/$phase.ctest.log" 2>/dev/null)
  summary="$summary$(printf '%-14s %6d s  %-8s %s' "$phase" $(($(date +%s) - began)) $result "$closing")
"
done

printf '\n%s\n' "$summary"
# A test runner's closing line stands last: that of the first suite which ran.
for phase; do
  if grep -h 'tests passed' "build/$phase.ctest.log" 2>/dev/null; then break; fi
done
exit $failed
