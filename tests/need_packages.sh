#!/bin/sh
# Installs those of the named Debian packages that are missing. Where it can't, it says which are needed and
# goes on: they may be there under another name.
# Usage: need_packages.sh [PACKAGE...]      none: those of the default preset; `library`: those of that preset
set -u
library="cmake ninja-build gcc g++ pkg-config libutf8proc-dev flatbuffers-compiler libflatbuffers-dev rapidjson-dev
  libxxhash-dev"
# shellcheck disable=SC2086  # the packages are words
case ${1:-} in
  '') set -- $library doctest-dev libbenchmark-dev abigail-tools python3-numpy python3-jinja2 python3-jsonschema ;;
  library) set -- $library ;;
esac
missing=
for package; do
  dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q 'install ok installed' ||
    missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
  echo "Needed, by their names on Debian:$missing"
  exit 0
fi
as_root=
if [ "$(id -u)" != 0 ]; then
  if ! command -v sudo >/dev/null 2>&1; then
    echo "Needed, and only root can install them:$missing"
    exit 0
  fi
  as_root=sudo
fi

echo "Installing:$missing"
case $missing in
  *:arm64*) $as_root dpkg --add-architecture arm64 ;;
esac
# shellcheck disable=SC2086  # the packages are words
$as_root apt-get -qq update &&
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $missing >/dev/null ||
  echo "Could not install:$missing"
exit 0
