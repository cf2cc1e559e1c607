#!/usr/bin/env bash
# A bare Debian, made by debootstrap, as root on Debian:
#
#   test/debian/bare.sh SUITE [FOLDER]
#
# With DEBIANS set it is made once, and kept in that folder; FOLDER is a copy of it then. Without
# FOLDER it is made there for those who come later.
set -euo pipefail

suite=$1
folder=${2:-}

make() {
  local recipe=/usr/share/debootstrap/scripts/$suite
  # Debian 12's debootstrap knows no suite after trixie by name; they are made as sid is.
  if [[ ! -e $recipe ]]; then recipe=${recipe%/*}/sid; fi
  debootstrap --variant=minbase "$suite" "$1" '' "$recipe"
}

if [[ -z ${DEBIANS:-} ]]; then
  make "$folder"
  exit
fi
mkdir -p "$DEBIANS"
exec 9>"$DEBIANS/$suite.lock"
flock 9
if [[ ! -e $DEBIANS/$suite ]]; then
  make "$DEBIANS/$suite.part"
  mv "$DEBIANS/$suite.part" "$DEBIANS/$suite"
fi
# Whoever left this machine's mounts while it was made still sees what was mounted in it then.
if [[ -n $folder ]]; then cp -a --one-file-system "$DEBIANS/$suite" "$folder"; fi
