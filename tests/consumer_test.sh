#!/bin/sh
# Installs a finished build into a prefix of its own and builds a C program against it, by find_package and by
# pkg-config, each with the shared and with the static library where they were built.
# Usage: consumer_test.sh BUILD_DIR SOURCE_DIR C_COMPILER CXX_COMPILER [CMAKE]
set -eu
build=$1
source=$2
cc=$3
cxx=$4
cmake=${5:-cmake}

work=$build/consumer
prefix=$work/prefix
rm -rf "$work"
mkdir -p "$work"
"$cmake" --install "$build" --prefix "$prefix" >"$work/install.log"

pc=$(find "$prefix" -name inlay.pc)
libdir=$(dirname "$(dirname "$pc")")
PKG_CONFIG_PATH=$libdir/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
export PKG_CONFIG_PATH

by_find_package() {
  "$cmake" -S "$source/consumer" -B "$work/$1" -G Ninja "-DCMAKE_PREFIX_PATH=$prefix" \
    "-DCMAKE_C_COMPILER=$cc" "-DCMAKE_CXX_COMPILER=$cxx" "-DINLAY_LIBRARY=inlay::$1" >"$work/$1.log"
  "$cmake" --build "$work/$1" >>"$work/$1.log" || { cat "$work/$1.log"; return 1; }
  echo "find_package, inlay::$1: $("$work/$1/consumer")"
}

tried=0
if [ -e "$libdir/libinlay.so" ] || [ -e "$libdir/libinlay.dylib" ]; then
  by_find_package inlay
  # shellcheck disable=SC2046  # the flags are words
  "$cc" "$source/consumer/consumer.c" -o "$work/shared" $(pkg-config --cflags --libs inlay) "-Wl,-rpath,$libdir"
  echo "pkg-config, shared: $("$work/shared")"
  tried=1
fi
if [ -e "$libdir/libinlay.a" ]; then
  by_find_package inlay_static
  # The linker prefers a shared library of the same name, so the archive is named by its path.
  flags=$(pkg-config --static --cflags --libs inlay | sed "s|-linlay|$libdir/libinlay.a|")
  # shellcheck disable=SC2086
  "$cc" "$source/consumer/consumer.c" -o "$work/static" $flags
  echo "pkg-config, static: $("$work/static")"
  tried=1
fi
[ $tried = 1 ] || { echo "no library was installed"; exit 1; }
