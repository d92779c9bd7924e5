#!/bin/sh
# clang-tidy on one file, unless the time is over. Prints only what is wrong.
# Usage: tidy_one.sh BUILD_DIR LOG_DIR DEADLINE FILE
set -u
[ "$(date +%s)" -lt "$3" ] || exit 0
log=$2/$(echo "$4" | tr / -).log
# The flags are GCC's, some of whose warnings clang does not know.
clang-tidy -p "$1" --quiet --extra-arg=-Wno-unknown-warning-option "$4" >"$log" 2>"$log.stderr" && exit 0
cat "$log"
[ -s "$log" ] || cat "$log.stderr"
exit 1
