#!/bin/sh
# Reads the public header and writes, for each of its structs, what every binding must agree with C about.
#
#   layout.sh text HEADER CC    sizes, offsets and enumerators as C has them, one a line
#   layout.sh rust HEADER CC    a Rust macro call for each struct and enumerator, for the layout test there
#   layout.sh go HEADER CC      a Go file that lists them, for the layout test there
set -eu
kind=$1
header=$2
cc=${3:-cc}

# The preprocessed header on one line; structs have no braces within, so a body ends at the first "}".
parse() {
  "$cc" -std=c99 -E -P "$header" | tr '\n' ' ' | sed 's/__attribute__ *((visibility("default")))//g' |
    awk '
    function last_word(text) {
      if (match(text, /\(\*[a-z_0-9]+\)/)) return substr(text, RSTART + 2, RLENGTH - 3)
      sub(/\[.*/, "", text)
      sub(/[ \t]+$/, "", text)
      match(text, /[A-Za-z_0-9]+$/)
      return substr(text, RSTART)
    }
    { text = $0
      while (match(text, /(struct|enum) +inlay_[a-z_0-9]+ *\{[^}]*\}/)) {
        item = substr(text, RSTART, RLENGTH)
        text = substr(text, RSTART + RLENGTH)
        split(item, words, / +/)
        open = index(item, "{")
        body = substr(item, open + 1, length(item) - open - 1)
        line = words[1] " " words[2]
        n = split(body, parts, words[1] == "struct" ? ";" : ",")
        for (i = 1; i <= n; i++) {
          part = parts[i]
          if (words[1] == "enum") sub(/=.*/, "", part)
          if (part ~ /[A-Za-z]/) line = line " " last_word(part)
        }
        print line
      }
    }'
}

case $kind in
  go)
    printf 'package layout\n\n// Generated from inlay.h by generate.sh: do not edit.\n\n// #include <inlay/inlay.h>\nimport "C"\n\n'
    printf 'var items = []item{\n'
    parse | awk '
      $1 == "struct" { printf "\t{\"%s\", C.%s{}},\n", $2, $2 }
      $1 == "enum" { for (i = 3; i <= NF; i++) printf "\t{\"%s\", int(C.%s)},\n", $i, $i }'
    printf '}\n'
    ;;
  rust)
    parse | awk '
      $1 == "struct" { printf "    structure!(text, %s", $2; for (i = 3; i <= NF; i++) printf ", %s", $i == "type" ? "type_" : $i; print ");" }
      $1 == "enum" { for (i = 3; i <= NF; i++) printf "    constant!(text, %s);\n", $i }'
    ;;
  text)
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    {
      printf '#include "%s"\n#include <stdio.h>\nint main(void) {\n' "$(cd "$(dirname "$header")" && pwd)/$(basename "$header")"
      parse | awk '
        $1 == "struct" {
          printf "  printf(\"%s %%zu\\n\", sizeof(%s));\n", $2, $2
          for (i = 3; i <= NF; i++)
            printf "  printf(\"%s.%s %%zu %%zu\\n\", offsetof(%s, %s), sizeof(((%s *)0)->%s));\n", $2, $i, $2, $i, $2, $i
        }
        $1 == "enum" { for (i = 3; i <= NF; i++) printf "  printf(\"%s %%d\\n\", (int)%s);\n", $i, $i }'
      printf '  return 0;\n}\n'
    } >"$work/layout.c"
    "$cc" -std=c99 -Wall -Werror "$work/layout.c" -o "$work/layout"
    "$work/layout"
    ;;
  *)
    echo "layout.sh: no '$kind'; the head of this file lists what there is" >&2
    exit 1
    ;;
esac
