#!/usr/bin/env bash
# A new user's first minutes: README's two commands, as they stand there, on a fresh Debian with
# nothing but what README asks for, in a clone that lies in root's home.
#
#   test/debian/fresh.sh [SUITE]     as root on Debian; SUITE is trixie, which is Debian 13
#
# `npm test` runs beside three busy loops: what a test says must not depend on how fast the machine is.
#
# What is cloned is the last commit. The last line is "N passed, N failed": the tests of `npm test`,
# and the demo; the exit status is 0 when something passed and nothing failed.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=test/debian/system.sh
. test/debian/system.sh
# shellcheck source=test/service/blocks.sh
. test/service/blocks.sh
apart "$@"

passed=0
failed=0

# Where the clone lies: nobody else may look into it.
readonly home=/root

# Runs a block of README in the clone, as a user types it: try NAME [COMMAND], a command that runs it
try() {
  local command
  command=$(block . "$1") || return 1
  printf '\n--- root@debian:~/project# %s\n' "$command"
  in_system sh -c "cd $home/project && ${2-} sh -c '$command'" 2>&1 | tee "$scratch/output"
}

# How many of vitest's "Tests  1 failed | 2 passed | 3 skipped (6)" are so: number WORD
number() {
  local found
  found=$(sed -E $'s/\e\\[[0-9;]*m//g' "$scratch/output" |
    sed -nE "s/^ *Tests  (.*[^0-9])?([0-9]+) $1.*/\\2/p" | tail -n 1)
  echo "${found:-0}"
}

tell() {
  echo "$passed passed, $failed failed"
  exit $((failed > 0 || passed == 0))
}

make_system "${1:-trixie}" nodejs npm git ca-certificates &&
  git -c safe.directory="$PWD/.git" clone --quiet --bare . "$system/srv/project.git" &&
  in_system git clone --quiet /srv/project.git "$home/project" ||
  { failed=1 && tell; }
echo "fresh: $(in_system sh -c '. /etc/os-release && echo "$PRETTY_NAME, Node.js $(node --version)"')"
in_system stat -c '%A %n' /root

# there is no spamd yet, which the demo has to say
if try try-demo && grep -q '^6\. .*: left out, ' "$scratch/output"; then passed=1; else failed=1; fi
status=0
try try-tests test/busy.sh || status=$?
passed=$((passed + $(number passed)))
failed=$((failed + $(number failed)))
if ((status != 0 && failed == 0)); then failed=1; fi
tell
