#!/bin/sh
# The header's ABI against the committed baseline: nothing may be removed, renumbered or moved; structs may grow at
# their end, functions and enumerators may be added. Types come from the header alone, compiled into a library of
# empty functions; that the real library exports the same functions is exports_test.sh's.
# abidiff can't tell a struct that grew from one that changed inside, so structs are also compared by their members'
# words: the old ones must be the beginning of the new ones. A struct without struct_size, such as an array's element,
# may not grow. Debug information has only the types that functions name, and neither the enumerations that a field
# holds as a number nor macros; so these, and callbacks, are compared by their words, too.
# Usage: abi_test.sh HEADER BASELINE C_COMPILER [write]
# BASELINE is the path of the files .abi, .structs and .constants without the ending; write: makes them anew.
set -eu
header=$1
baseline=$2
cc=$3

command -v abidiff >/dev/null 2>&1 || { echo "no abidiff (Debian: abigail-tools)"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A declaration a line; what begins with the attribute is a function of the library.
"$cc" -std=c99 -E -P "$header" | tr '\n' ' ' | sed 's/;/;\n/g' |
  sed 's/^ *\(__attribute__ *((visibility("default"))).*\);$/\1 { __builtin_trap(); }/' >"$work/inlay.c"
"$cc" -std=c99 -g -O0 -w -shared -fPIC "$work/inlay.c" -o "$work/libinlay.so"

# A struct a line: its name, then its members.
"$cc" -std=c99 -E -P "$header" | tr -s ' \n' ' ' | sed 's/struct \(inlay_[a-z_]*\) {\([^}]*\)}/\nSTRUCT \1 \2\n/g' |
  sed -n 's/^STRUCT //p' | sort >"$work/structs"

# A constant or a callback a line: its name and its value or type.
{
  "$cc" -std=c99 -E -P "$header" | tr -s ' \n' ' ' | sed 's/enum inlay_[a-z_]* {\([^}]*\)}/\n ENUM \1,\n/g' |
    sed -n 's/^ ENUM //p' | tr ',' '\n' | sed -n 's/^ *\([A-Z0-9_]*\) = \(.*[^ ]\) *$/\1 \2/p'
  "$cc" -std=c99 -E -dM "$header" | sed -n 's/^#define \(INLAY_[A-Z0-9_]* .\)/\1/p' |
    grep -v '^INLAY_API \|^INLAY_VERSION_\|_INIT '
  "$cc" -std=c99 -E -P "$header" | tr -s ' \n' ' ' | tr ';' '\n' |
    sed -n 's/^ *typedef \([^{]*(\*\(inlay_[a-z_]*\))(.*)\)$/\2 \1/p'
} | LC_ALL=C sort >"$work/constants"

if [ "${4:-}" = write ]; then
  abidw --no-corpus-path --no-comp-dir-path --no-show-locs "$work/libinlay.so" |
    sed "s#path='$work/#path='#" >"$baseline.abi"
  cp "$work/structs" "$baseline.structs"
  cp "$work/constants" "$baseline.constants"
  exit 0
fi
awk 'NR == FNR { name = $1; $1 = ""; now[name] = $0; next }
     { name = $1; $1 = ""; if (substr(now[name], 1, length($0)) != $0) { print "struct " name " changed: " $0; bad = 1 } }
     $0 !~ /^ uint32_t struct_size;/ && now[name] != $0 { print "struct " name " has no struct_size and grew"; bad = 1 }
     END { exit bad }' "$work/structs" "$baseline.structs"
LC_ALL=C comm -23 "$baseline.constants" "$work/constants" >"$work/changed"
if [ -s "$work/changed" ]; then
  echo "constants or callbacks changed or gone:"
  cat "$work/changed"
  exit 1
fi
cat >"$work/grown.ini" <<'SUPPRESSION'
[suppress_type]
  type_kind = struct
  has_data_member_inserted_at = end
SUPPRESSION
abidiff --no-architecture --no-added-syms --suppressions "$work/grown.ini" "$baseline.abi" "$work/libinlay.so"
echo "$(grep -c '{ __builtin_trap' "$work/inlay.c") functions agree with the baseline"
