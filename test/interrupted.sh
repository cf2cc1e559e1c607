#!/usr/bin/env bash
# Interrupts the tests in their middle, as Ctrl-C does and as `kill` does, and looks for what is left of
# it: a mount, a folder, a process. It runs only what starts servers and mounts file systems.
#
#   test/interrupted.sh     as root on Linux, after `npm ci`; takes some minutes
#
# The last line is "N passed, N failed"; the exit status is 0 when something passed and nothing
# failed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

scratch=$(mktemp -d)
chmod 755 "$scratch"
run=''
passed=0
failed=0

finish() {
  if [[ -n $run ]]; then kill -KILL -- "-$run"; fi
  rm -rf --one-file-system "$scratch"
  echo "$passed passed, $failed failed"
  exit $((failed > 0 || passed == 0))
}
trap finish EXIT
trap 'exit 1' INT TERM HUP

# Waits up to $1 seconds for a command to succeed.
within() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    if ((SECONDS >= end)); then return 1; fi
    sleep 0.05
  done
}

# Everything that belongs to the run has its temporary folder in its arguments, in its environment or
# as its place.
members() {
  {
    echo "$scratch/tmp" | grep -lsaF -f - /proc/[0-9]*/cmdline /proc/[0-9]*/environ
    find /proc/[0-9]*/cwd -prune -lname "$scratch/tmp*" 2>/dev/null
  } | cut -d / -f 3 | sort -u
}

has_server() {
  local pid
  for pid in $(pgrep -x rspamd); do
    if [[ $(readlink "/proc/$pid/cwd") == "$scratch"/tmp* ]]; then return 0; fi
  done
  return 1
}

has_mount() {
  grep -qF "$(basename "$scratch"/tmp/learnd-tests-*)" /proc/self/mounts
}

has_ended() {
  ! kill -0 "$run" 2>/dev/null
}

nothing_is_left() {
  [[ -z $(left) ]]
}

left() {
  local pid name
  find "$scratch/tmp" -mindepth 1
  for name in $names; do
    grep -F "$name" /proc/self/mounts
    find /dev/shm -maxdepth 1 -name "$name"
  done
  for pid in $(members); do echo "process $pid: $(tr '\0' ' ' <"/proc/$pid/cmdline")"; done
}

# interrupt WHAT MOMENT SIGNAL-COMMAND...: at the moment when the condition holds
interrupt() {
  local name=$1 moment=$2
  shift 2
  mkdir -p "$scratch/tmp"
  TMPDIR=$scratch/tmp TEST_LENGTH=short env --default-signal=INT setsid \
    npm run torture -- test/real test/torture/disks </dev/null >"$scratch/output" 2>&1 &
  run=$!
  if ! within 300 "$moment"; then
    echo "FAILED  $name: the moment didn't come"
    tail -n 20 "$scratch/output"
    exit $((failed = failed + 1))
  fi
  names=$(cd "$scratch/tmp" && echo learnd-tests-*)
  "$@"
  if within 60 has_ended && within 20 nothing_is_left; then
    passed=$((passed + 1))
    echo "ok      $name"
  else
    failed=$((failed + 1))
    echo "FAILED  $name"
    left | head -n 30
  fi
  run=''
}

to_group() {
  kill "-$1" -- "-$run"
}

to_vitest() {
  kill "-$1" "$(pgrep -g "$run" -f 'node.*/vitest run')"
}

interrupt 'Ctrl-C while a private rspamd runs' has_server to_group INT
interrupt 'Ctrl-C while a file system is mounted' has_mount to_group INT
interrupt 'kill while a file system is mounted' has_mount to_group TERM
interrupt 'kill -9 of vitest while a private rspamd runs' has_server to_vitest KILL
