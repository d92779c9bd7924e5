#!/bin/sh
# Compiles the assembly and its tests with Mono's compiler, once as .NET Standard 2.0 has the language's library and
# once as 2.1, and runs them against the library in BUILD_DIR.
# Usage: test.sh BUILD_DIR OUTPUT_DIR
set -eu
cd "$(dirname "$0")/../.."
library=$(cd "$1" && pwd)
out=$2
for standard in NETSTANDARD2_0 NETSTANDARD2_1; do
  mkdir -p "$out/$standard"
  mcs -unsafe -langversion:latest -warnaserror -d:INLAY_$standard -target:library -out:"$out/$standard/Inlay.dll" \
    bindings/csharp/Inlay/*.cs
  mcs -langversion:latest -warnaserror -d:INLAY_$standard -out:"$out/$standard/InlayTests.exe" \
    -r:"$out/$standard/Inlay.dll" bindings/csharp/Tests/*.cs
done
echo ".NET Standard 2.0, the library where the loader looks"
LD_LIBRARY_PATH=$library mono "$out/NETSTANDARD2_0/InlayTests.exe"
# The leak test once.
echo ".NET Standard 2.1, the library by its path"
mono "$out/NETSTANDARD2_1/InlayTests.exe" --library "$library/libinlay.so" $(sed -n 's/.*public static void \([A-Za-z]*\)().*/\1/p' \
  bindings/csharp/Tests/InlayTest.cs bindings/csharp/Tests/ObjectsTest.cs)
