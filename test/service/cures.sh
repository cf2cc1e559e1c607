#!/usr/bin/env bash
# The doctor's cures, pasted as they are printed: on a Debian 13, as root, under systemd as the first
# process, under runit, and in a container. A fault is made, `kopano-learnd doctor` names it, and the lines
# below its cures go into `sh -eu`; after that the doctor must be content. Where no command can know what
# is meant, the cure is words, and no line of it looks like a command.
#
#   test/service/cures.sh     as root on Debian, after `npm ci`; takes some minutes
#
# CI does not run it. The machine and the service are made as by readme.sh, which it sources.
#
# The last line is "N passed, N failed"; the exit status is 0 when something passed and nothing
# failed.
SPOOL=/var/lib/kopano/spamd
CONF=/etc/kopano-learnd.conf
SECRET=/etc/kopano-learnd/rspamd-password

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

# names PATTERN: the doctor finds something wrong, and says so with these words and a cure.
names() {
  ask_doctor
  cat "$scratch/found"
  # over line ends, as it is wrapped
  tr -s '\n ' ' ' <"$scratch/found" | grep -qE -- "$1" || { echo "that has no: $1" && return 1; }
  grep -q '^ \{11\}cure: ' "$scratch/found"
}

heal() {
  local pattern=$1
  shift
  # rspamd that was started a moment ago tells nothing yet
  "$@" && within 20 names "$pattern" && [[ -n $(commands) ]] && is_decent || return 1
  commands >>"$scratch/pasted"
  "${machine[@]}" sh -eu < <(commands) || return 1
  within "${PATIENCE-15}" is_clean
}

# heals NAME PATTERN FAULT...: what the doctor prints heals it
heals() {
  local name=$1
  shift
  test_that "$world: $name" heal "$@"
}

only_words() {
  local pattern=$1 undo=$2
  shift 2
  # a daemon that is down has a command of its own
  "$@" && names "$pattern" && not grep -vE '^(systemctl|sv) (restart|stop) [^ ]+( && sv start [^ ]+)?$' <(commands) &&
    within 15 mended "$undo"
}

mended() {
  $1 && is_clean
}

# told NAME PATTERN UNDO FAULT...: the cure is words; UNDO does what they say
told() {
  local name=$1
  shift
  test_that "$world: told in words: $name" only_words "$@"
}

# on COMMAND...: on the machine, whose root makes the faults
on() {
  "${machine[@]}" "$@"
}

# --- faults of the spool

no_spam() { on rmdir $SPOOL/spam; }
no_class() { on rmdir $SPOOL/spam $SPOOL/ham; }
no_spool() { on rm -r $SPOOL; }
spam_is_roots() { on chown root:root $SPOOL/spam; }
spam_is_closed() { on chown root:root $SPOOL/spam && on chmod 0700 $SPOOL/spam; }
ham_is_roots() { on chown root:root $SPOOL/ham; }
spam_is_readonly() { on chmod 0500 $SPOOL/spam; }
spam_is_anothers() { on chown 12345:amavis $SPOOL/spam && on chmod 1775 $SPOOL/spam; }
spam_is_everybodys() { on chmod 0777 $SPOOL/spam $SPOOL/ham; }
spool_is_shut() { on chown root:root $SPOOL && on chmod 0700 $SPOOL; }
state_is_roots() { on chown -R root:root $SPOOL/.learnd; }
state_is_readonly() { on chmod 0500 $SPOOL/.learnd $SPOOL/.learnd/tmp; }
is_replaced_by_link() { on sh -c "rmdir $SPOOL/spam && ln -s /tmp $SPOOL/spam"; }

folder_again() {
  on find $SPOOL/spam -maxdepth 0 -type l -delete 2>"$scratch/output"
  on install -d -o kopano -g kopano -m 0755 $SPOOL/spam
}

# These cures are the same under systemd and runit: under systemd some stand for all.
test_some_folders() {
  heals 'spam/ is missing' 'spam/: .* is missing' no_spam
  heals "spam/ is root's" 'may not write to it' spam_is_roots
  heals "the state dir is root's" 'state dir .* belongs to uid 0' state_is_roots
}

test_folders() {
  test_some_folders
  heals 'both folders are missing' 'ham/: .* is missing' no_class
  heals "spam/ is root's, and closed" 'may not be listed' spam_is_closed
  heals "ham/ is root's" 'may not write to it' ham_is_roots
  heals 'spam/ is read-only' 'may not write to it' spam_is_readonly
  heals "spam/ is another's, and sticky" 'sticky|may not write' spam_is_anothers
  heals 'everybody may write to them' 'everybody on this machine' spam_is_everybodys
  heals 'the spool may not be entered' 'may not be entered' spool_is_shut
  heals 'the state dir is read-only' 'no file can be written' state_is_readonly
  heals 'spam/ is a symlink' 'is a symlink to /tmp' is_replaced_by_link
}

# --- faults of a service

# service start|stop
service() {
  case $world in
    systemd) on systemctl "${1/#start/restart}" kopano-learnd ;;
    runit) on sv "$1" kopano-learnd ;;
  esac
}

# server start|stop|restart rspamd|redis
server() {
  case $world in
    systemd) on systemctl "$1" "${2/#redis/redis-server}" ;;
    *) on sv "$1" "$2" ;;
  esac
}

state_is_loose() { service stop && on chmod 0770 $SPOOL/.learnd; }
state_is_roots_at_start() { service stop && state_is_roots && { service start || true; }; }
no_state() { service stop && on rm -r $SPOOL/.learnd && on chown root:root $SPOOL && on chmod 0755 $SPOOL; }
all_is_roots() { service stop && on rm -r $SPOOL/.learnd && on chown -R root:root $SPOOL; }

# As the mail filter's, which has no name here where the folder comes from another machine.
message_of_group() {
  # shellcheck disable=SC2016
  on sh -euc 'printf "Subject: a question\n\nWho of you knows when the train leaves today?\n" >"$1/.new"
    chown "0:$2" "$1/.new"
    chmod 0660 "$1/.new"
    mv "$1/.new" "$1/$2.eml"' sh $SPOOL/spam "$1"
}

group_is_new() { on usermod -aG "$1" kopano; }

test_service() {
  local group
  heals 'the whole spool is missing' 'spool: .* is missing' no_spool
  heals 'no daemon runs' 'no daemon runs' service stop
  heals 'the state dir is open to others' 'can be written by others' state_is_loose
  heals "the daemon ended because the state dir is root's" 'belongs to uid 0' state_is_roots_at_start
  heals "the state dir is missing, and can't be made" 'may not make it' no_state
  heals "all of it is root's" 'belongs to root' all_is_roots
  on groupadd --gid 4710 filter && on groupadd --gid 4712 late
  heals 'a message is of another group' 'give the daemon.s user the group' message_of_group 4710
  heals 'a message is of a group without a name' 'give the daemon.s user the group' message_of_group 4711
  heals 'the daemon has not got its new group' 'started without the group' group_is_new late
  # the next world begins without them
  for group in filter learnd-4711 late; do on groupdel $group; done
  restart_service
}

# --- faults of the settings

# add LINE: a setting that the daemon doesn't know yet
add() { on sh -c "echo '$1' >>$CONF"; }
restart_service() { service stop && { service start || true; }; }
wrong_at_start() { add "$1" && restart_service; }
file_is_open() { on chmod 0666 $CONF && restart_service; }
file_is_anothers() { on chown 12345 $CONF && restart_service; }
file_is_shut() { on chown root:root $CONF && on chmod 0600 $CONF && restart_service; }
secret_is_shut() { on chown root:root $SECRET && on chmod 0400 $SECRET && restart_service; }
url_is() { on sed -i "s|^RSPAMD_URL=.*|RSPAMD_URL=$1|" $CONF && restart_service; }
secret_is_wrong() { on sh -c "echo wrong >$SECRET"; }
no_secret() { on rm $SECRET; }

settings_again() {
  on install -o root -g kopano -m 0640 /dev/stdin $CONF <<END
RSPAMD_URL=http://$RSPAMD_ADDRESS:11334
RSPAMD_PASSWORD_FILE=$SECRET
END
  on install -o kopano -g kopano -m 0400 /dev/stdin $SECRET <<<"$PASSWORD"
  restart_service
}

test_settings() {
  heals 'a name is that of another filter' 'did you mean RSPAMD_TIMEOUT_SECONDS' add RSPAMD_TIMEOUT_SECOND=20
  heals 'a name of old kept the daemon from starting' 'did you mean LEARN_CONCURRENCY' wrong_at_start LEARN_CONCURENCY=8
  heals 'the settings file may be written by others' 'can be written by others' file_is_open
  heals "the settings file is another's" 'can be written by others .uid 12345' file_is_anothers
  heals "the settings file can't be read" "cannot be read .EACCES" file_is_shut
  heals "the password's file can't be read" 'RSPAMD_PASSWORD_FILE .* cannot be read .EACCES' secret_is_shut
  heals 'a setting was changed since the start' 'the running daemon has LEARN_AFTER' add LEARN_AFTER=archive
  heals 'the port is none of this machine' 'nobody listens there' url_is http://127.0.0.1:11339
}

# Nor do these depend on who runs the daemon.
test_told_settings() {
  told 'a value is none' 'LEARN_MAX_BYTES must be' settings_again wrong_at_start LEARN_MAX_BYTES=much
  told "the password's file is missing" 'cannot be read .ENOENT' settings_again no_secret
  told 'the password is wrong' 'refuses the password' settings_again secret_is_wrong
  told 'it is the port of the scan worker' "scan worker|not rspamd's controller" settings_again url_is http://127.0.0.1:11333
  told 'the host is unknown' 'host name is not found' settings_again url_is http://nowhere.invalid:11334
}

# --- faults of rspamd and Redis

rspamd_is_down() { server stop rspamd; }
redis_is_down() { server stop redis && server restart rspamd && within 20 controller_answers; }

no_backend() {
  on sh -c 'cd /etc/rspamd/local.d && rm redis.conf && echo "monitor_timeout = 1;" >classifier-bayes.conf' &&
    server restart rspamd && within 20 answers_for 4
}

# For its first seconds it says nothing of Bayes.
answers_for() {
  controller_answers && sleep "$1" && controller_answers
}

few_are_learned() { teach 3; }
enough_again() { teach 300; }
daemon_is_stopped() { pkill -STOP -f 'kopano-learnd(.mjs)? watch'; }

# Bayes' own figures, as if it had learned so many of each class.
teach() {
  local class
  for class in spam ham; do
    on redis-cli sadd "BAYES_${class^^}_keys" RS && on redis-cli hset RS "learns_$class" "$1" || return 1
  done >"$scratch/redis-cli"
}

use_up_inotify() {
  local number=294
  if [[ $(uname -m) == aarch64 ]]; then number=26; fi
  # one that a daemon gives back as it is restarted is taken, too; all end with perl
  # shellcheck disable=SC2016
  setpriv --reuid="$KOPANO" --regid="$KOPANO" --clear-groups perl -e '
    my ($number, $most) = map { $_ + 0 } @ARGV;
    $| = 1;
    for (my $held = 0; ; select undef, undef, undef, 0.05) {
      $held++ while $held < $most && syscall($number, 0) >= 0;
      print "full\n";
    }
  ' $number "$(cat /proc/sys/fs/inotify/max_user_instances)" >"$scratch/inotify" &
  holder=$!
  within 10 grep -q full "$scratch/inotify"
}

test_inotify() {
  local limit=/proc/sys/fs/inotify/max_user_instances before
  before=$(cat $limit)
  heals 'the inotify instances are used up' 'has used up max_user_instances' use_up_inotify
  kill "$holder"
  echo "$before" >$limit
}

test_servers() {
  heals 'rspamd is down' 'connection refused' rspamd_is_down
  heals 'Redis is down' 'Redis' redis_is_down
  heals 'Bayes has no backend' 'no Bayes backend' no_backend
  told 'Bayes has learned too little' 'gives no opinion before' enough_again few_are_learned
  heals 'the daemon has been stopped by a signal' 'does not answer' daemon_is_stopped
}

# --- the worlds

# Settings, folders and a memory that the doctor has nothing against: begin WORLD COMMAND...
begin() {
  world=$1
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

cures_systemd() {
  local unit
  doctor=("${machine[@]}")
  begin systemd spool_again
  test_some_folders
  test_service
  test_settings
  heals 'the unit may not write to another spool' 'fails the running daemon' spool_is_elsewhere
  settings_again
  heals 'the unit sets what the file does not' 'the running daemon has LEARN_AFTER' unit_sets
  test_servers
  test_inotify
}

spool_is_elsewhere() {
  on cp -a $SPOOL '/srv/my spool' && add 'KOPANO_SPAMD_LIB=/srv/my spool' && restart_service
}

unit_sets() {
  on sh -c 'mkdir -p /etc/systemd/system/kopano-learnd.service.d &&
    printf "[Service]\nEnvironment=LEARN_AFTER=archive\n" >/etc/systemd/system/kopano-learnd.service.d/after.conf &&
    systemctl daemon-reload && systemctl restart kopano-learnd'
}

cures_runit() {
  doctor=("${machine[@]}")
  begin runit spool_again
  test_folders
  test_service
  test_settings
  test_told_settings
  heals 'a message is of another group than ./user says' 'give the daemon.s user the group' user_is_said
  on rm /etc/sv/kopano-learnd/user
  test_servers
  test_inotify
}

user_is_said() {
  on sh -c 'echo kopano >/etc/sv/kopano-learnd/user' && on groupadd --gid 4713 other && restart_service &&
    message_of_group 4713
}

# The sidecar of docs/install-container.md has no rights of root's: what is pasted is pasted on the host,
# where its volume has the same path.
cures_container() {
  doctor=("${machine[@]}" docker exec learnd)
  begin container folder_again
  test_folders
  told 'a message is of another group' '--group-add 4710' no_message message_of_group 4710
  told 'rspamd is down' 'connection refused' rspamd_again rspamd_is_down
  told 'the password is wrong' 'refuses the password' secret_again secret_is_wrong
  told 'the daemon has been stopped by a signal' 'does not answer' daemon_again daemon_is_stopped
  told 'the inotify instances are used up' 'raise it on the host' no_holder use_up_inotify
}

no_message() { on rm -f $SPOOL/spam/4710.eml; }
rspamd_again() { server start rspamd && within 60 controller_answers; }
secret_again() { on sh -c "cat >$SECRET" <<<"$PASSWORD"; }
daemon_again() { pkill -CONT -f 'kopano-learnd(.mjs)? watch'; }
no_holder() { kill "$holder" 2>/dev/null || true; }

# On the machine of readme.sh: the sidecar runs, runit's service and the unit
# are installed.
test_cures() {
  local began=$SECONDS
  echo '--- the cures of the doctor, pasted'
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
  echo "that took $((SECONDS - began)) s, and pasted $(sort -u "$scratch/pasted" | wc -l) commands"
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
    test_cures
  }
  apart "$@"
fi
