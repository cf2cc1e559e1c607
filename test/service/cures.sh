#!/usr/bin/env bash
# The doctor's cures, pasted as they are printed: on a Debian 13, as root, under systemd as the first
# process, under runit, and in a container. A fault is made, `kopano-learnd doctor` names it, and the lines
# below its cures go into `sh -eu`; after that the doctor must be content. Where no command can know what
# is meant, the cure is words, and no line of it looks like a command.
#
#   test/service/cures.sh     as root on Debian, after `npm ci`; takes some minutes
#
# That is the long form: each fault alone. With TEST_LENGTH=middle faults that touch nothing of each other's stand
# together; each command is pasted all the same: so readme.sh ends with it, on its machine.
#
# The last line is "N passed, N failed"; the exit status is 0 when something passed and nothing
# failed.
CONF=/etc/kopano-learnd.conf

# --- what the doctor says, and what is pasted

# Asks in the world that is tried: the text is in $scratch/found.
ask_doctor() {
  "${doctor[@]}" kopano-learnd doctor >"$scratch/found" 2>"$scratch/sum"
}

is_clean() {
  if ask_doctor && [[ ! -s $scratch/found ]]; then return 0; fi
  cat "$scratch/found"
  return 1
}

# Commands stand alone on their lines, further in than what is wrapped.
commands() {
  sed -n 's/^ \{13\}//p' "$scratch/found"
}

# Never the group root, and nothing given to root but the settings file.
is_decent() {
  ! commands | grep -vE "^chown root $CONF && chmod " |
    grep -E '\b(root|su|sudo)\b|ch(own|grp)( -\w+)* (0\b|[^ ]*:(0|root)\b)|chgrp 0\b|-[og] (0|root)\b|-a?G (0|root)\b'
}

# --- faults and their cures

# What is tried: `fault KEY NAME PATTERN MAKE...` mends it by pasting what the doctor prints; of `words KEY NAME
# PATTERN UNDO MAKE...` no command can know what is meant, and UNDO does what the words say. after_KEY, where
# there is one, clears up.
declare -A told=() named=() undoing=() making=()

fault() {
  named[$1]=$2 told[$1]=$3
  making[$1]=$(printf '%q ' "${@:4}")
}

words() {
  named[$1]=$2 told[$1]=$3 undoing[$1]=$4
  making[$1]=$(printf '%q ' "${@:5}")
}

# tried KEY+KEY... KEY...: faults that touch nothing of each other's stand together. In the middle
# form they are made at once, and all cures are pasted at once; in the long form each stands alone.
tried() {
  local group keys key
  for group in "$@"; do
    IFS=+ read -ra keys <<<"$group"
    if [[ $FORM == middle ]]; then
      try_keys "${keys[@]}"
    else
      for key in "${keys[@]}"; do try_keys "$key"; done
    fi
  done
}

try_keys() {
  local key names='' act=heal after
  for key in "$@"; do
    names+="${names:+; }${named[$key]}"
    if [[ -n ${undoing[$key]-} ]]; then act=tell; fi
  done
  if [[ $act == tell ]]; then names="told in words: $names"; fi
  test_that "$world: $names" $act "$@"
  for key in "$@"; do
    after=after_${key//-/_}
    if declare -F "$after" >/dev/null; then "$after" >"$scratch/output" 2>&1; fi
  done
}

make_all() {
  local key
  for key in "$@"; do eval "${making[$key]}" || return 1; done
}

# names KEY...: the doctor finds them, and says so with these words and a cure.
names() {
  local key
  ask_doctor
  cat "$scratch/found"
  for key in "$@"; do
    # over line ends, as it is wrapped
    tr -s '\n ' ' ' <"$scratch/found" | grep -qE -- "${told[$key]}" || { echo "that has no: ${told[$key]}" && return 1; }
  done
  (($(grep -c '^ \{11\}cure: ' "$scratch/found") >= $#))
}

heal() {
  # rspamd that was started a moment ago tells nothing yet
  make_all "$@" && within 20 names "$@" && [[ -n $(commands) ]] && is_decent || return 1
  commands >>"$scratch/pasted"
  "${machine[@]}" sh -eu < <(commands) || return 1
  within 20 is_clean
}

tell() {
  # a daemon that is down has a command of its own
  make_all "$@" && within 20 names "$@" &&
    not grep -vE '^(systemctl|sv) (restart|stop) [^ ]+( && sv start [^ ]+)?$' <(commands) &&
    within 20 mended "$@"
}

mended() {
  local key
  for key in "$@"; do "${undoing[$key]}" || return 1; done
  is_clean
}

# on COMMAND...: on the machine, whose root makes the faults
on() {
  "${machine[@]}" "$@"
}

# shellcheck source=test/service/faults.sh
. "${BASH_SOURCE[0]%/*}/faults.sh"

# --- the worlds

# Settings, folders and a memory that the doctor has nothing against: begin WORLD COMMAND...
begin() {
  world=$1
  doctor=("${machine[@]}")
  if [[ $world == container ]]; then doctor+=(docker exec learnd); fi
  shift
  on redis-cli flushall >"$scratch/output"
  teach 300
  "$@" >"$scratch/output"
  test_that "$world: at first nothing is wrong" within 60 is_clean
}

spool_again() {
  lay_out && folder_again && settings_again
}

# Until now they were nobody's services; and Bayes had a memory for each recipient.
end_servers() {
  pkill -f '^(rspamd: main|redis-server )' || return 0
  within 20 not pgrep -f '^(rspamd:|redis-server )' >"$scratch/output"
}

plain_memory() {
  printf 'backend = "redis";\nmonitor_timeout = 1;\n' >"$root/etc/rspamd/local.d/classifier-bayes.conf"
}

serve_by_runit() {
  local name
  end_servers
  plain_memory
  for name in redis rspamd; do
    install -D -m 0755 "test/service/image/rspamd-image/service/$name/run" "$root/etc/sv/$name/run"
    on ln -s "/etc/sv/$name" /etc/service/
  done
  within 120 controller_answers
}

serve_by_systemd() {
  local run=/usr/local/lib/redis-run
  rm -f "$root/etc/systemd/system/rspamd.service" "$root/etc/systemd/system/redis-server.service"
  install -m 0755 test/service/image/rspamd-image/service/redis/run "$root$run"
  # Debian's unit shuts Redis up in ways that a chroot can't have
  printf '[Service]\nExecStart=%s\n' $run >"$root/etc/systemd/system/redis-server.service"
  plain_memory
  boot && on systemctl start redis-server rspamd && within 120 controller_answers
}

# What is pasted is pasted on the host, where the container's volume has the same path.
cures_container() {
  begin container folder_again
  tried no-spam+readonly-state no-folders roots-spam+roots-state closed-spam roots-ham+readonly-spam \
    sticky-spam everybodys shut-spool symlink
  tried inner-group+inner-rspamd-down+inner-inotify inner-secret+inner-frozen
}

cures_runit() {
  begin runit spool_again
  begin_groups
  tried no-spam+readonly-state+inotify no-folders+other-name+quotes roots-spam+roots-state-at-start roots-state \
    closed-spam+shut-secret roots-ham+readonly-spam+changed sticky-spam+wrong-port everybodys+nameless-group \
    shut-spool+rspamd-down symlink+frozen no-spool+old-name no-daemon+loose-state no-state all-roots \
    group+late-group open-file anothers-file shut-file
  end_groups
  tried said-user redis-down no-backend few
  if [[ $FORM == long ]]; then tried wrong-value no-secret wrong-secret quoted-secret scan-worker no-host; fi
}

cures_systemd() {
  begin systemd spool_again
  begin_groups
  tried no-spam+inotify+other-name+quotes roots-spam+roots-state-at-start roots-state shut-secret wrong-port \
    changed+nameless-group rspamd-down frozen no-spool+old-name no-daemon+loose-state no-state all-roots \
    group+late-group open-file anothers-file shut-file
  end_groups
  tried other-spool unit-sets redis-down no-backend few
}

# On the machine of readme.sh: the sidecar runs, runit's service and the unit are installed. test_cures
# middle|long
test_cures() {
  local began=$SECONDS
  FORM=$1
  echo "--- the doctor's cures, pasted"
  if ! serve_by_runit; then
    failed=$((failed + 1))
    return
  fi
  cures_container
  on docker stop learnd >"$scratch/output"
  on sv start kopano-learnd >"$scratch/output"
  cures_runit
  on sv stop kopano-learnd redis rspamd >"$scratch/output"
  if serve_by_systemd; then
    cures_systemd
    halt
  else
    failed=$((failed + 1))
  fi
  echo "        in $((SECONDS - began)) s, with $(sort -u "$scratch/pasted" | wc -l) commands"
}

# --- alone

if ((${#BASH_SOURCE[@]} == 1)); then
  set -uo pipefail
  cd "$(dirname "$0")/../.." || exit 1
  # shellcheck source=test/service/readme.sh
  . test/service/readme.sh

  run_all() {
    if ! prepare; then return; fi
    lay_out
    cp service/systemd/kopano-learnd.service "$root/etc/systemd/system/"
    test_that 'the service and the unit are there' follow spam-folder runit-install
    # one daemon at a time, as in readme.sh
    within 20 on sv stop kopano-learnd
    test_that 'the sidecar runs' follow sidecar
    test_cures "${TEST_LENGTH-long}"
  }
  apart "$@"
fi
