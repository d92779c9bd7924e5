#!/bin/sh
# Writes the C# declarations of the public header: constants, structs, functions, and what the layout test and the
# check at start-up need. The sizes as C has them stand in the text that layout.sh wrote.
# Usage: csharp.sh HEADER LAYOUT_TEXT [CC]
set -eu
header=$1
layout=$2
cc=${3:-cc}

"$cc" -std=c99 -E -P "$header" | tr '\n\t' '  ' | sed 's/__attribute__ *((visibility("default")))//g; s/  */ /g' |
  awk -v layout="$layout" '
  # The word that a declaration ends with; the rest is its type.
  function name_of(text) {
    if (match(text, /\(\*[a-z_0-9]+\)/)) return substr(text, RSTART + 2, RLENGTH - 3)
    sub(/\[.*/, "", text); sub(/ +$/, "", text)
    match(text, /[A-Za-z_0-9]+$/)
    return substr(text, RSTART)
  }
  # Within a call a handle is a SafeHandle, which stays alive until the call returns.
  function type_of(text, in_call,   stars, base) {
    if (text ~ /\(\*/) return "IntPtr"
    sub(/\[.*/, "", text); sub(/[A-Za-z_0-9]+ *$/, "", text)
    stars = gsub(/\*/, "", text)
    gsub(/const|struct /, "", text); gsub(/ /, "", text)
    if (text in opaque) {
      if (stars == 2) return "IntPtr*"
      return in_call ? "InlayHandle" : "IntPtr"
    }
    base = text in plain ? plain[text] : text in enums ? "int" : text ~ /_fn$/ ? "IntPtr" : text
    if (base == "void" && stars > 0) { base = "IntPtr"; --stars }
    while (stars-- > 0) base = base "*"
    return base
  }
  BEGIN {
    plain["uint32_t"] = "uint"; plain["int32_t"] = "int"; plain["uint64_t"] = "ulong"; plain["size_t"] = "UIntPtr"
    plain["float"] = "float"; plain["double"] = "double"; plain["char"] = "byte"; plain["void"] = "void"
    while ((getline line < layout) > 0) if (split(line, word, " ") == 2) size[word[1]] = word[2]
    print "// Generated from inlay.h by generate.sh: do not edit."
    print "using System;\nusing System.Runtime.InteropServices;\nusing System.Text;\n"
    print "namespace Inlay\n{\n#pragma warning disable 649\n"
  }
  {
    text = $0
    while (match(text, /typedef struct inlay_[a-z_0-9]+ inlay_[a-z_0-9]+ *;/)) {
      split(substr(text, RSTART, RLENGTH), word, " ")
      opaque[word[3]] = 1
      text = substr(text, RSTART + RLENGTH)
    }
    text = $0
    while (match(text, /(struct|enum) inlay_[a-z_0-9]+ *\{[^}]*\}/)) {
      item = substr(text, RSTART, RLENGTH)
      text = substr(text, RSTART + RLENGTH)
      split(item, word, " ")
      open = index(item, "{")
      delete opaque[word[2]]
      if (word[1] == "enum") { enums[word[2]] = 1; enumerators = enumerators substr(item, open + 1, length(item) - open - 1) "," }
      else { names[++count] = word[2]; bodies[count] = substr(item, open + 1, length(item) - open - 1) }
    }

    print "    internal static class C\n    {"
    n = split(enumerators, part, ",")
    for (i = 1; i <= n; i++) if (part[i] ~ /=/) { gsub(/^ +| +$/, "", part[i]); print "        public const int " part[i] ";" }
    print "    }\n"

    for (s = 1; s <= count; s++) {
      print "    [StructLayout(LayoutKind.Sequential)]\n    internal unsafe struct " names[s] "\n    {"
      n = split(bodies[s], part, ";")
      for (i = 1; i <= n; i++) {
        if (part[i] !~ /[a-z]/) continue
        name = name_of(part[i])
        type = type_of(part[i], 0)
        fields[s] = fields[s] " " name
        if (match(part[i], /\[[0-9]+\]/)) {
          fixed_size[s, name] = substr(part[i], RSTART + 1, RLENGTH - 2) " * sizeof(" type ")"
          print "        public fixed " type " @" name substr(part[i], RSTART, RLENGTH) ";"
        }
        else print "        public " type " @" name ";"
      }
      print "    }\n"
    }

    print "    internal static unsafe class Native\n    {"
    text = $0
    while (match(text, /[a-z_0-9]+ \**inlay_[a-z_0-9]+\([^;{}]*\);/)) {
      item = substr(text, RSTART, RLENGTH)
      before = substr(text, 1, RSTART - 1)
      text = substr(text, RSTART + RLENGTH)
      open = index(item, "(")
      head = substr(item, 1, open - 1)
      name = name_of(head)
      result = type_of(head, 0)
      list = ""
      n = split(substr(item, open + 1, length(item) - open - 2), part, ",")
      for (i = 1; i <= n; i++) {
        if (part[i] ~ /^ *void *$/) continue
        list = list (list == "" ? "" : ", ") type_of(part[i], name !~ /_destroy$/) " @" name_of(part[i])
      }
      print "        [DllImport(Library.Name, CallingConvention = CallingConvention.Cdecl)]"
      print "        public static extern " result " " name "(" list ");"
    }
    print "    }\n"

    print "    internal static unsafe class Layout\n    {"
    print "        public static void Check()\n        {"
    for (s = 1; s <= count; s++) print "            Library.CheckSize(\"" names[s] "\", sizeof(" names[s] "), " size[names[s]] ");"
    print "        }\n\n        public static void Describe(StringBuilder text)\n        {"
    for (s = 1; s <= count; s++) {
      print "            {\n                " names[s] " it;\n                byte* at = (byte*)&it;"
      print "                text.Append(\"" names[s] " \").Append(sizeof(" names[s] ")).Append(\"\\n\");"
      n = split(fields[s], part, " ")
      for (i = 1; i <= n; i++) {
        if (fixed_size[s, part[i]] != "") { place = "it.@" part[i]; bytes = fixed_size[s, part[i]] }
        else { place = "&it.@" part[i]; bytes = "(byte*)(" place " + 1) - (byte*)" place }
        print "                text.Append(\"" names[s] "." part[i] " \").Append((byte*)" place " - at).Append(\" \").Append(" bytes ").Append(\"\\n\");"
      }
      print "            }"
    }
    print "        }\n\n        public static void DescribeConstants(StringBuilder text)\n        {"
    n = split(enumerators, part, ",")
    for (i = 1; i <= n; i++) if (part[i] ~ /=/) {
      sub(/=.*/, "", part[i]); gsub(/ /, "", part[i])
      print "            text.Append(\"" part[i] " \").Append(C." part[i] ").Append(\"\\n\");"
    }
    print "        }\n    }\n}"
  }'
