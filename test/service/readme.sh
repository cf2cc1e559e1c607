#!/usr/bin/env bash
# A new user's way, by the documented commands alone: from a fresh Debian 13 with Kopano's folders to
# messages that rspamd has learned, by runit, by the systemd unit, by cron and in a sidecar. And the
# doctor's cures, pasted (cures.sh).
#
#   test/service/readme.sh     as root on Debian, after `npm ci`; takes some minutes
#
# The commands are taken out of README.md and docs/*.md, by their marks (blocks.sh), and run as they
# stand there. It is a failure when a mark is gone or occurs twice, when nothing runs a marked block, and
# when a block has no mark.
#
# Not documented, but what its reader has already: Debian, in a chroot, with rspamd, Redis, runit and
# systemd; kopano-spamd, its user and its folders; a checkout; npm, which is the one of the machine
# outside; and Docker, for which image/docker stands in. For its part systemd really runs, as the
# first process of the machine.
#
# The last line is "N passed, N failed"; the exit status is 0 when something passed and nothing
# failed.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=test/service/shell.sh
. test/service/shell.sh
# shellcheck source=test/service/blocks.sh
. test/service/blocks.sh

readonly CHECKOUT=/usr/src/kopano-learnd LIB=/var/lib/kopano/spamd
readonly PASSWORD='not secret: a test'
# rspamd trusts 127.0.0.1, and asks who comes by this address for the password.
readonly RSPAMD_ADDRESS=192.0.2.1

# What ../debian/fresh.sh, release.sh and mbsync.sh run.
readonly BY_OTHERS=$'try-demo\ntry-tests\ndeb-install\ndeb-update\ndeb-remove\ndeb-purge\nmbsync'

seed=0

# --- the documents

# The block of a mark: take NAME
take() {
  echo "$1" >>"$scratch/used"
  block "$documents" "$1"
}

no_block_left() {
  local left
  left=$(block_names "$documents" | grep -vxF -f "$scratch/used" | grep -vxF "$BY_OTHERS")
  [[ -z $left ]] || { printf 'nothing runs these:\n%s\n' "$left" && return 1; }
}

# Runs blocks as one script, in the checkout on the machine: follow NAME...
follow() {
  local text='' name part
  for name in "$@"; do
    part=$(take "$name") || return 1
    text+=$part$'\n'
  done
  type_in "$text"
}

# NAME stands for a message's.
type_in() {
  local text=${1//NAME/$message}
  "${machine[@]}" env --chdir="$CHECKOUT" bash -euo pipefail -c "$text" </dev/null ||
    { printf 'that was:\n%s\n' "$text" && return 1; }
}

# Runs a block that needs the network.
install_by() {
  local text
  text=$(take "$1") && online "${machine[@]}" sh -euc "$text"
}

# --- the machine

make_machine() {
  make_debian debian:13-slim || return 1
  mount_machine
  # no service starts by itself
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"
  mkdir "$root$CHECKOUT"
  tar -c --exclude=./node_modules --exclude=./dist --exclude=./.git . | tar -x -C "$root$CHECKOUT"
  online "${machine[@]}" apt-get -qq update
}

# What is called there by a name, and runs out here: lend NAME COMMAND...
lend() {
  local name=$1
  shift
  { export -p && printf '%q ' exec "$@" && echo '"$@"'; } >"$scratch/lent-$name"
  printf '#!/bin/sh\nexec nsenter --target 1 --mount --root --wd=. bash %q "$@"\n' "$scratch/lent-$name" \
    >"$root/usr/local/bin/$name"
  chmod 755 "$root/usr/local/bin/$name"
}

# What is there before kopano-learnd, as far as it isn't Debian.
surround() {
  local image=test/service/image/rspamd-image local=$root/etc/rspamd/local.d server
  online "${machine[@]}" apt-get -qq --no-install-recommends install \
    rspamd redis-server runit systemd curl >"$scratch/output" 2>&1 || return 1
  add_kopano
  bring_lab
  ip address add "$RSPAMD_ADDRESS/32" dev lo
  cp "$image"/local.d/* "$local/"
  printf 'bind_socket = "%s:11334";\nenable_password = "%s";\n' "$RSPAMD_ADDRESS" "$PASSWORD" \
    >>"$local/worker-controller.inc"
  # rspamd counts anew every second or two, not every 30 to 60: `status` shows it
  echo 'monitor_timeout = 1;' >>"$local/classifier-bayes.conf"
  install -D -m 0400 -o $KOPANO -g $KOPANO <(echo "$PASSWORD") "$root/etc/kopano-learnd/rspamd-password"
  printf '127.0.0.1 localhost\n%s rspamd\n' "$RSPAMD_ADDRESS" >"$scratch/hosts"
  for server in redis rspamd; do
    "${machine[@]}" sh <"$image/service/$server/run" >"$scratch/$server.log" 2>&1 &
  done
  "${machine[@]}" runsvdir -P /etc/service </dev/null >"$scratch/runsvdir.log" 2>&1 &
  # a busy machine takes its time
  within 240 controller_answers || { tail -n 20 "$scratch/redis.log" "$scratch/rspamd.log" && return 1; }
}

# Kopano's folders as kopano-spamd leaves them: lay_out [OWNER-OF-THE-OUTER-ONE]
lay_out() {
  rm -rf "${root:?}$LIB"
  install -d "$root${LIB%/*}"
  install -d -o "${1:-$KOPANO}" -g "${1:-$KOPANO}" -m 0755 "$root$LIB"
  install -d -o $KOPANO -g $KOPANO -m 0755 "$root$LIB/ham"
}

# kopano-spamd, who is kopano, writes a spam and a ham, each time others; the daemon learns both.
learns() {
  write_both && within 30 nothing_waits "$root$LIB" && remembers_both && return 0
  find "$root$LIB" -name '*.eml' -ls
  # whichever of them there is: under runit, by the unit, in the sidecar
  tail -n 4 "$root"/var/log/kopano-learnd/current "$scratch/learnd.log"
  "${machine[@]}" journalctl --lines 4 -u kopano-learnd
  return 1
}

write_both() {
  local verdict
  seed=$((seed + 1))
  for verdict in spam ham; do
    judge "$LIB" $verdict $seed "${machine[@]}" env --chdir="$LAB" runuser -u kopano -- || return 1
  done
}

remembers_both() {
  remembered spam $seed && remembered ham $seed
}

# Bayes as it is after a loss, when rspamd has noticed.
forget() {
  "${machine[@]}" redis-cli flushall && within 20 bayes_is_empty
}

bayes_is_empty() {
  "${machine[@]}" curl -s http://127.0.0.1:11334/stat | node -e '
    const { statfiles } = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
    process.exit(statfiles.length > 0 && statfiles.every((file) => file.revision === 0) ? 0 : 1);
  '
}

# Runs a command that succeeds and prints what the pattern says.
says() {
  local pattern=$1
  shift
  "$@" >"$scratch/said" 2>&1 || { cat "$scratch/said" && return 1; }
  cat "$scratch/said"
  grep -qE -- "$pattern" "$scratch/said" || { echo "that has no: $pattern" && return 1; }
}

# --- the tests

test_install() {
  test_that 'apt-get installs Node.js' install_by nodejs
  test_that 'npm makes the program in a checkout, and two lines install it' follow program
  test_that 'it runs' \
    says "^$(node -p 'require("./package.json").version')\$" type_in 'kopano-learnd --version'
}

test_runit() {
  echo '--- runit'
  lay_out
  test_that "spam/ is made, for the way as kopano-spamd's user" follow spam-folder
  test_that 'the service is switched on' follow runit-install
  test_that 'it is there after some seconds' within 15 "${machine[@]}" sv check kopano-learnd
  test_that 'it learns' learns
  test_that 'the doctor finds nothing wrong' nothing_wrong
  test_that 'the daemon shows that it is ready and healthy' says '"ready": *true' follow ready
  test_that 'sv asks, moves and stops it, and there is a log' \
    says '"event":"message.learned"' follow runit-control
  test_that 'in a terminal it shows its work' shows_its_work
}

# Root's doctor sees what the daemon's user sees.
nothing_wrong() {
  says '^0 failed' follow doctor
}

# The block that runs until somebody presses Ctrl-C.
shows_its_work() {
  local run child status=0
  follow watch-pretty >"$scratch/terminal.log" 2>&1 &
  run=$!
  { learns && logged terminal 'learned as spam'; } || status=1
  while child=$(pgrep -P "$run"); do run=$child; done
  kill -INT "$run" && within 10 gone "$run" && return $status
}

# NAME comes from quarantine again and again, as what is wrong with it doesn't change.
test_quarantine() {
  local line lines
  echo '--- the quarantine'
  message=0badcafe.eml
  cp "$root/etc/kopano-learnd.conf" "$scratch/"
  echo LEARN_MAX_BYTES=2000 >>"$root/etc/kopano-learnd.conf"
  "${machine[@]}" sv start kopano-learnd >/dev/null
  yes 'Too much of it' | head -c 3000 |
    "${machine[@]}" runuser -u kopano -- sh -c "cat >$LIB/spam/$message && chmod 0660 $LIB/spam/$message"
  test_that 'a message that is too large gets there' within 20 in_quarantine
  test_that 'it is listed and shown' says "^spam/$message" follow quarantine-look
  mapfile -t lines < <(take quarantine-decide)
  for line in "${lines[@]}"; do
    within 20 in_quarantine
    test_that "${line#kopano-learnd }" type_in "$line"
  done
  test_that 'then it is gone' not in_quarantine
  "${machine[@]}" sv stop kopano-learnd >/dev/null
  cp "$scratch/kopano-learnd.conf" "$root/etc/"
}

in_quarantine() {
  [[ -e $root$LIB/.learnd/quarantine/spam/$message ]]
}

# What `chpst -u` is told is in the file `user`, as docs/install-runit.md says.
test_permissions() {
  echo '--- permissions'
  lay_out 0
  permit 'in a folder of root' follow spam-folder state-dir
  echo kopano-learnd >"$root/etc/sv/kopano-learnd/user"
  lay_out
  permit 'in the group sa_group' follow own-user
  "${machine[@]}" userdel kopano-learnd
  lay_out
  test_that 'apt-get installs setfacl' install_by acl-install
  permit 'by access control lists' follow acl
  "${machine[@]}" userdel kopano-learnd
  rm "$root/etc/sv/kopano-learnd/user"
}

# permit WAY COMMAND...
permit() {
  local way=$1
  shift
  test_that "$way: the folders are made" "$@"
  "${machine[@]}" sv start kopano-learnd >/dev/null
  test_that "$way: it learns" learns
  test_that "$way: the doctor finds nothing wrong" nothing_wrong
  "${machine[@]}" sv stop kopano-learnd >/dev/null
}

# --- systemd

# As after a restore from a backup.
replace_folders() {
  mv "$root$LIB" "$root$LIB.old"
  lay_out
  follow spam-folder
}

test_systemd() {
  local unit
  echo '--- systemd'
  # these run already
  for unit in redis-server rspamd runit; do ln -sf /dev/null "$root/etc/systemd/system/$unit.service"; done
  test_that 'systemd runs' boot
  lay_out
  test_that 'spam/ is made, and the unit installed and started' follow systemd
  # what it doesn't understand it tells, and succeeds
  test_that 'systemd understands the unit' quiet follow systemd-verify
  test_that 'it is exposed as little as docs/install-systemd.md says' little_exposed
  test_that 'a first message is put into spam/' follow first-message
  test_that 'it is taken' within 30 nothing_waits "$root$LIB"
  test_that 'the log says that it was learned' \
    within 10 says '"event":"message.learned"' follow first-log
  test_that 'it learns' learns
  test_that 'there is a log' says '"event":"message.learned"' follow systemd-log
  test_that 'a fault is found in it by its priority' finds_fault
  test_that 'it takes a new setting' follow systemd-setting
  test_that 'the settings are for root and the daemon alone' follow systemd-password
  test_that 'it learns as before' learns
  test_that 'status and doctor say that all is well' says '^daemon: owns the spool, ready' follow is-it-working
  test_that 'the doctor finds nothing wrong' nothing_wrong
  cp -a "$root$LIB/.learnd/archive" "$scratch/"
  archived=$seed
  test_that 'Bayes forgets' forget
  test_that 'the archive teaches it again' follow relearn-archive
  test_that 'what is in it is learned' remembers_both
  test_that 'after that it learns as before' learns
  test_that "kopano-spamd's folders are replaced" replace_folders
  test_that 'it learns from the new ones' learns
  test_that 'it is stopped in good order' stops_in_good_order
  halt
}

# What is a warning for the daemon is one for journald, and its notices are not.
finds_fault() {
  mv "$root$LIB/spam" "$root$LIB/spam.away"
  within 20 says '"event":"spool.missing"' follow systemd-faults || return 1
  not grep -q '"event":"message.learned"' "$scratch/said" || return 1
  mv "$root$LIB/spam.away" "$root$LIB/spam"
}

stops_in_good_order() {
  "${machine[@]}" systemctl stop kopano-learnd &&
    says '"event":"daemon.stopped"' "${machine[@]}" journalctl --lines 5 -u kopano-learnd &&
    says '^Result=success$' "${machine[@]}" systemctl show --property Result kopano-learnd
}

little_exposed() {
  local most
  most=$(grep -oE 'at most [0-9]+\.[0-9] of 10' "$documents/docs/install-systemd.md" | grep -oE '[0-9]+\.[0-9]') &&
    "${machine[@]}" systemd-analyze security --no-pager --offline=true --threshold="$((10#${most/./}))" \
      /etc/systemd/system/kopano-learnd.service
}

# --- cron

# cron itself: variables, and a line of five times, a user and a command
cron_runs() {
  local settings=() line user
  take crontab >"$scratch/crontab" || return 1
  while read -r line; do
    if [[ $line =~ ^[A-Z_]+= ]]; then
      settings+=("$line")
    else
      read -r _ _ _ _ _ user line <<<"$line"
      "${machine[@]}" runuser -u "$user" -- env -i "${settings[@]}" sh -c "$line" </dev/null || return 1
      return 0
    fi
  done <"$scratch/crontab"
  echo 'it has no line for a command'
  return 1
}

test_cron() {
  echo '--- cron'
  lay_out
  follow spam-folder >/dev/null
  write_both
  test_that "cron's line tries everything, and has nothing to say" quiet cron_runs
  test_that 'everything is learned' remembers_both
}

# --- a sidecar

test_sidecar() {
  echo '--- a sidecar'
  lay_out
  follow spam-folder >/dev/null
  test_that 'rspamd asks for a password there' rspamd_asks
  test_that 'the image is built and runs' follow sidecar
  test_that 'it learns' learns
  test_that 'the doctor in it finds nothing wrong' says '^0 failed' follow sidecar-ask
  cp -a "$scratch/archive" "$root$LIB/.learnd/"
  test_that 'Bayes forgets' forget
  test_that 'an archive teaches it again' follow relearn-sidecar
  test_that 'what is in it is learned' remembered spam $archived
  test_that 'after that it learns as before' learns
}

rspamd_asks() {
  [[ $("${machine[@]}" curl -s -o /dev/null -w '%{http_code}' "http://$RSPAMD_ADDRESS:11334/stat") == 40[13] ]]
}

# The machine with all that a reader has, and with the program.
prepare() {
  root=$scratch/debian
  documents=$root$CHECKOUT
  message=NAME
  machine=(chroot "$root" env -i HOME=/root DEBIAN_FRONTEND=noninteractive
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
  if ! make_machine; then
    failed=$((failed + 1))
    return 1
  fi
  lend npm nsenter --net=/proc/1/fd/8 npm
  lend docker env scratch="$scratch" docker_host="$root" "$PWD/test/service/image/docker"
  test_install
  if ((failed > 0)) || ! surround; then
    echo 'nothing more can be tried'
    failed=$((failed + 1))
    return 1
  fi
}

run_all() {
  if ! prepare; then return; fi
  test_runit
  test_quarantine
  test_permissions
  test_systemd
  test_cron
  test_sidecar
  test_that 'no block of README and docs/ is left' no_block_left
  test_cures middle
}

if ((${#BASH_SOURCE[@]} == 1)); then
  # shellcheck source=test/service/cures.sh
  . test/service/cures.sh
  apart "$@"
fi
