#!/usr/bin/env bash
# A new user's way, by README's commands alone: from a fresh Debian 13 with Kopano's folders to
# messages that rspamd has learned, by runit, by the systemd unit, by cron and in a sidecar.
#
#   test/service/readme.sh     as root on Debian, after `npm run build`; takes some minutes
#
# The commands are taken out of README.md, by their headings, and run as they stand there. It is a
# failure when one is gone, and also when there is a block that nothing here runs.
#
# Not README's, but what its reader has already: Debian, in a chroot, with rspamd, Redis, runit and
# systemd; kopano-spamd, its user and its folders; a checkout; npm, which is the one of the machine
# outside; and Docker, for which image/docker stands in. For its section systemd really runs, as the
# first process of the machine.
#
# The last line is "N passed, N failed"; the exit status is 0 when something passed and nothing
# failed.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=test/service/shell.sh
. test/service/shell.sh

readonly CHECKOUT=/usr/src/kopano-learnd LAB=/usr/src/lab LIB=/var/lib/kopano/spamd
readonly PASSWORD='not secret: a test'
# rspamd trusts 127.0.0.1, and asks who comes by this address for the password.
readonly RSPAMD_ADDRESS=192.0.2.1

# Blocks that others run, or that name what isn't here: another user's archive, an rspamd image.
readonly NOT_HERE="## Try it 1
## Try it 2
### As the daemon's user 4
### Teaching an archive 1
### Inside an rspamd image 1
### Monitoring 1
## Development 1"

seed=0

# --- README

# The lines of a section, up to the next heading.
section() {
  awk -v heading="$1" '
    /^```/ { fenced = !fenced }
    !fenced && /^#+ / { here = ($0 == heading) }
    here { print; found = 1 }
    END { exit !found }
  ' "$readme" || { echo "README has no heading $1" >&2 && return 1; }
}

# The Nth block of commands in a section: block HEADING N
block() {
  echo "$1 $2" >>"$scratch/used"
  section "$1" | awk -v number="$2" '
    /^```/ && fenced { fenced = mine = 0; next }
    /^```/ { fenced = 1; if (/^```sh$/) mine = (++count == number); next }
    mine
    END { exit count < number }
  ' || { echo "README has no block $2 of commands under $1" >&2 && return 1; }
}

# The command in a section's text that begins with these words: inline HEADING WORDS
inline() {
  section "$1" | tr '\n' ' ' | grep -oE "\`$2[^\`]*\`" | tr -d '`' | head -n 1 | grep . ||
    { echo "README says no \`$2\` under $1" >&2 && return 1; }
}

every_block() {
  awk '
    /^```/ && fenced { fenced = 0; next }
    /^```/ { fenced = 1; if (/^```sh$/) print heading, ++count; next }
    !fenced && /^#+ / { heading = $0; count = 0 }
  ' "$readme"
}

no_block_left() {
  local left
  left=$(every_block | grep -vxF -f "$scratch/used" | grep -vxF "$NOT_HERE")
  [[ -z $left ]] || { printf 'nothing runs these:\n%s\n' "$left" && return 1; }
}

# Runs blocks as one script, in the checkout on the machine: follow HEADING N [HEADING N...]
follow() {
  local text='' part
  while (($#)); do
    part=$(block "$1" "$2") || return 1
    text+=$part$'\n'
    shift 2
  done
  type_in "$text"
}

# "`kopano` stands for the user that the daemon runs as"; NAME stands for a message's.
type_in() {
  local text=${1//-u kopano /-u $daemon_user }
  text=${text//NAME/$message}
  "${machine[@]}" env --chdir="$CHECKOUT" bash -euo pipefail -c "$text" </dev/null ||
    { printf 'that was:\n%s\n' "$text" && return 1; }
}

# Runs an `apt-get install` of the section's text.
install_by() {
  local text
  text=$(inline "$1" 'apt-get install ') && online "${machine[@]}" sh -c "$text"
}

# --- the machine

make_machine() {
  make_debian debian:13-slim || return 1
  mount --bind "$root" "$root"
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  mount --rbind /sys "$root/sys"
  # no service starts by itself, and apt-get's "Do you want to continue?" is answered
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"
  echo 'APT::Get::Assume-Yes "true";' >"$root/etc/apt/apt.conf.d/yes"
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
  "${machine[@]}" groupadd --gid $KOPANO kopano
  "${machine[@]}" groupadd --gid $SA_GROUP amavis
  "${machine[@]}" useradd --uid $KOPANO --gid kopano --groups amavis --no-create-home kopano
  mkdir -p "$root$LAB/dist"
  cp -a package.json "$root$LAB/" && cp -a dist/lab "$root$LAB/dist/"
  ip address add "$RSPAMD_ADDRESS/32" dev lo
  cp "$image"/local.d/* "$local/"
  printf 'bind_socket = "%s:11334";\nenable_password = "%s";\n' "$RSPAMD_ADDRESS" "$PASSWORD" \
    >>"$local/worker-controller.inc"
  # rspamd counts anew every second or two, not every 30 to 60: `relearn` waits for that
  echo 'monitor_timeout = 1;' >>"$local/classifier-bayes.conf"
  install -D -m 0400 -o $KOPANO -g $KOPANO <(echo "$PASSWORD") "$root/etc/kopano-learnd/rspamd-password"
  printf '127.0.0.1 localhost\n%s rspamd\n' "$RSPAMD_ADDRESS" >"$scratch/hosts"
  for server in redis rspamd; do
    "${machine[@]}" sh <"$image/service/$server/run" >"$scratch/$server.log" 2>&1 &
  done
  "${machine[@]}" runsvdir -P /etc/service </dev/null >"$scratch/runsvdir.log" 2>&1 &
  within 60 controller_answers
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

# Runs a command that succeeds and prints nothing.
quiet() {
  "$@" >"$scratch/said" 2>&1 || { cat "$scratch/said" && return 1; }
  cat "$scratch/said"
  [[ ! -s $scratch/said ]]
}

# --- the tests

test_install() {
  test_that 'apt-get installs what README names' install_by '## Running it'
  test_that 'npm makes the bundle in a checkout' follow '## Running it' 1
  test_that 'it is installed by two lines, and runs' \
    says "^$(node -p 'require("./package.json").version')\$" follow '## Running it' 2
}

readonly AS_USER="### As the daemon's user" DOCTOR='## When something is wrong: doctor'
readonly SYSTEMD=1 RUNIT=2 SIDECAR=3

test_runit() {
  echo '--- runit'
  lay_out
  test_that "spam/ is made, for the way as kopano-spamd's user" follow '### Permissions' 1
  test_that 'the service is switched on' follow '### runit' 1
  test_that 'it is there after some seconds' within 15 "${machine[@]}" sv check kopano-learnd
  test_that 'it learns' learns
  test_that 'the doctor finds nothing wrong' says '^ok' follow "$AS_USER" $RUNIT "$DOCTOR" 1
  test_that 'the daemon shows that it is ready, healthy and what it does' \
    says '"ready": *true' follow '## Watching it' 1
  test_that 'sv asks, moves and stops it, and there is a log' \
    says '"event":"message.learned"' follow '### runit' 2
  test_that 'in a terminal it shows its work' shows_its_work
}

# The block that runs until somebody presses Ctrl-C.
shows_its_work() {
  local run child status=0
  follow "$AS_USER" $RUNIT '## Troubleshooting by log event' 1 >"$scratch/terminal.log" 2>&1 &
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
  echo 2000 >"$root/etc/sv/kopano-learnd/env/LEARN_MAX_BYTES"
  "${machine[@]}" sv start kopano-learnd >/dev/null
  yes 'Too much of it' | head -c 3000 |
    "${machine[@]}" runuser -u kopano -- sh -c "cat >$LIB/spam/$message && chmod 0660 $LIB/spam/$message"
  test_that 'a message that is too large gets there' within 20 in_quarantine
  test_that 'it is listed and shown' says "^spam/$message" follow '### A message in the quarantine' 1
  mapfile -t lines < <(block '### A message in the quarantine' 2)
  for line in "${lines[@]}"; do
    within 20 in_quarantine
    test_that "${line#kopano-learnd }" type_in "$line"
  done
  test_that 'then it is gone' not in_quarantine
  "${machine[@]}" sv stop kopano-learnd >/dev/null
  rm "$root/etc/sv/kopano-learnd/env/LEARN_MAX_BYTES"
}

in_quarantine() {
  [[ -e $root$LIB/.learnd/quarantine/spam/$message ]]
}

# What `chpst -u` is told is in the file `user`, as README says under runit.
test_permissions() {
  echo '--- permissions'
  lay_out 0
  permit 'in a folder of root' follow '### Permissions' 1 '### Permissions' 2
  daemon_user=kopano-learnd
  echo $daemon_user >"$root/etc/sv/kopano-learnd/user"
  lay_out
  permit 'in the group sa_group' follow '### Permissions' 3
  "${machine[@]}" userdel kopano-learnd
  lay_out
  test_that 'apt-get installs what README names' install_by '### Permissions'
  permit 'by access control lists' follow '### Permissions' 4
  "${machine[@]}" userdel kopano-learnd
  rm "$root/etc/sv/kopano-learnd/user"
  daemon_user=kopano
}

# permit WAY COMMAND...
permit() {
  local way=$1
  shift
  test_that "$way: the folders are made" "$@"
  "${machine[@]}" sv start kopano-learnd >/dev/null
  test_that "$way: it learns" learns
  test_that "$way: the doctor finds nothing wrong" says '^ok' follow "$AS_USER" $RUNIT "$DOCTOR" 1
  "${machine[@]}" sv stop kopano-learnd >/dev/null
}

# --- systemd

# Makes systemd the first process of the machine, for what comes after it.
boot() {
  local unit run
  # these run already
  for unit in redis-server rspamd runit; do ln -sf /dev/null "$root/etc/systemd/system/$unit.service"; done
  # shellcheck disable=SC2016
  unshare --pid --mount --cgroup --fork --kill-child sh -euc '
    cd "$1"
    mount -t proc proc proc
    mount -t tmpfs tmpfs run
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    exec chroot . env -i container=chroot PATH=/usr/sbin:/usr/bin /lib/systemd/systemd --show-status=no
  ' sh "$root" </dev/null >"$scratch/systemd.log" 2>&1 &
  run=$!
  within 10 pgrep -P $run >"$scratch/systemd.pid" || return 1
  within 10 test "$(readlink "/proc/$(cat "$scratch/systemd.pid")/exe")" || return 1
  without_systemd=("${machine[@]}")
  machine=(nsenter --target "$(cat "$scratch/systemd.pid")" --pid --mount --root --wd "${machine[@]:2}")
  within 20 "${machine[@]}" systemctl show --property Version
}

halt() {
  kill -KILL "$(cat "$scratch/systemd.pid")"
  machine=("${without_systemd[@]}")
}

# As after a restore from a backup.
replace_folders() {
  mv "$root$LIB" "$root$LIB.old"
  lay_out
  follow '### Permissions' 1
}

test_systemd() {
  echo '--- systemd'
  test_that 'systemd runs' boot
  lay_out
  follow '### Permissions' 1 >/dev/null
  # what it doesn't understand it tells, and succeeds
  test_that 'the unit is installed, and systemd understands it' quiet follow '### systemd' 1
  test_that 'it is exposed as little as README says' little_exposed
  echo LEARN_AFTER=archive >>"$root/etc/default/kopano-learnd"
  test_that 'it is started' follow '### systemd' 2
  test_that 'it learns' learns
  test_that 'the doctor finds nothing wrong' says '^ok' follow "$AS_USER" $SYSTEMD "$DOCTOR" 1
  cp -a "$root$LIB/.learnd/archive" "$scratch/"
  archived=$seed
  test_that 'Bayes forgets' forget
  test_that 'the archive teaches it again' follow "$AS_USER" $SYSTEMD '### Teaching an archive' 2
  test_that 'what is in it is learned' remembers_both
  test_that 'after that it learns as before' learns
  test_that "kopano-spamd's folders are replaced" replace_folders
  test_that 'it learns from the new ones' learns
  test_that 'it is stopped in good order' stops_in_good_order
  halt
}

stops_in_good_order() {
  "${machine[@]}" systemctl stop kopano-learnd &&
    says '"event":"daemon.stopped"' "${machine[@]}" journalctl --lines 5 -u kopano-learnd &&
    says '^Result=success$' "${machine[@]}" systemctl show --property Result kopano-learnd
}

little_exposed() {
  local most
  most=$(section '### systemd' | grep -oE 'at most [0-9]+\.[0-9] of 10' | grep -oE '[0-9]+\.[0-9]') &&
    "${machine[@]}" systemd-analyze security --no-pager --offline=true --threshold="$((10#${most/./}))" \
      /etc/systemd/system/kopano-learnd.service
}

# --- cron

# cron itself: variables, and a line of five times, a user and a command
cron_runs() {
  local settings=() line user
  section '### cron' | awk '/^```/ && fenced { exit } fenced; /^```/ { fenced = 1 }' >"$scratch/crontab"
  while read -r line; do
    if [[ $line =~ ^[A-Z_]+= ]]; then
      settings+=("$line")
    else
      read -r _ _ _ _ _ user line <<<"$line"
      "${machine[@]}" runuser -u "$user" -- env -i "${settings[@]}" sh -c "$line" </dev/null || return 1
      return 0
    fi
  done <"$scratch/crontab"
  echo 'README has no line for cron'
  return 1
}

test_cron() {
  echo '--- cron'
  lay_out
  follow '### Permissions' 1 >/dev/null
  write_both
  test_that "cron's line tries everything, and has nothing to say" quiet cron_runs
  test_that 'everything is learned' remembers_both
}

# --- a sidecar

test_sidecar() {
  echo '--- a sidecar'
  lay_out
  follow '### Permissions' 1 >/dev/null
  test_that 'rspamd asks for a password there' rspamd_asks
  test_that 'the image is built and runs' follow '### A sidecar' 1
  test_that 'it learns' learns
  test_that 'the doctor finds nothing wrong' says '^ok' follow "$AS_USER" $SIDECAR "$DOCTOR" 1
  test_that 'it is healthy' type_in "$(block "$AS_USER" $SIDECAR)"$'\nlearnd health'
  cp -a "$scratch/archive" "$root$LIB/.learnd/"
  test_that 'Bayes forgets' forget
  test_that 'an archive teaches it again' follow '### Teaching an archive' 3
  test_that 'what is in it is learned' remembered spam $archived
  test_that 'after that it learns as before' learns
}

rspamd_asks() {
  [[ $("${machine[@]}" curl -s -o /dev/null -w '%{http_code}' "http://$RSPAMD_ADDRESS:11334/stat") == 40[13] ]]
}

run_all() {
  root=$scratch/debian
  readme=$root$CHECKOUT/README.md
  daemon_user=kopano
  message=NAME
  machine=(chroot "$root" env -i HOME=/root DEBIAN_FRONTEND=noninteractive
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
  if ! make_machine; then
    failed=$((failed + 1))
    return
  fi
  lend npm nsenter --net=/proc/1/fd/8 npm
  lend docker env scratch="$scratch" docker_host="$root" "$PWD/test/service/image/docker"
  test_install
  if ((failed > 0)) || ! surround; then
    echo 'nothing more can be tried'
    failed=$((failed + 1))
    return
  fi
  test_runit
  test_quarantine
  test_permissions
  test_systemd
  test_cron
  test_sidecar
  test_that 'no block of README is left' no_block_left
}

apart "$@"
