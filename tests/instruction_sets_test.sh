#!/bin/sh
# An inline function that is compiled both with and without an instruction set's flags is one symbol, and the
# linker keeps either copy: the program may then die on a processor without that set, far from any dispatch.
# So objects compiled with flags of their own may define no weak symbol that objects with other flags, or a
# host's, could define too.
# Usage: instruction_sets_test.sh BUILD_DIR NM
set -eu
build=$1
nm=$2

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Lines of "OBJECT FLAGS" for the library's objects, FLAGS being all -m options in one word.
awk '/"command":/ && /inlay_objects\.dir/ {
  object = ""; flags = ""
  for (i = 1; i <= NF; ++i) {
    if ($i == "-o") object = $(i + 1)
    if ($i ~ /^-m/) flags = flags $i
  }
  print object, flags == "" ? "none" : flags
}' "$build/compile_commands.json" >"$work/objects"
[ -s "$work/objects" ] || { echo "no objects in $build/compile_commands.json"; exit 1; }

while read -r object flags; do
  "$nm" --defined-only "$build/$object" | awk -v object="$object" -v flags="$flags" \
    '$2 ~ /^[TW]$/ { print $3, $2, flags, object }'
done <"$work/objects" >"$work/symbols"

awk '{
  if ($1 in flags_of && flags_of[$1] != $3) shared[$1] = 1
  flags_of[$1] = $3
  line[NR] = $0
}
END {
  for (i = 1; i <= NR; ++i) {
    split(line[i], field, " ")
    if (field[2] == "T" || field[3] == "none") continue
    if (field[1] in shared || field[1] ~ /^_ZN?K?S[tabiosd]/) print field[4] ": " field[1]
  }
}' "$work/symbols" | sort -u >"$work/wrong"
if [ -s "$work/wrong" ]; then
  echo "weak symbols in objects with instruction-set flags of their own:"
  if command -v c++filt >/dev/null 2>&1; then c++filt <"$work/wrong"; else cat "$work/wrong"; fi
  exit 1
fi
echo "$(grep -vc ' none$' "$work/objects") of $(wc -l <"$work/objects") objects have flags of their own"
