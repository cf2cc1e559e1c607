#!/bin/sh
# Runs a command beside three busy loops: what it says must not depend on how fast the machine is.
#
#   test/busy.sh COMMAND [ARGUMENT...]     such as: test/busy.sh npm test
#
# The exit status is the command's.
[ $# -gt 0 ] || { echo "usage: $0 COMMAND [ARGUMENT...]" >&2; exit 64; }

parent=$$
loops=
for _ in 1 2 3; do
  # it ends by itself soon after this script, however that ends
  (while kill -0 "$parent" 2>/dev/null; do
    turn=0
    while [ "$turn" -lt 100000 ]; do turn=$((turn + 1)); done
  done) &
  loops="$loops $!"
done
# shellcheck disable=SC2064,SC2086
trap "kill $loops 2>/dev/null" EXIT
trap 'exit 143' TERM INT HUP
"$@"
