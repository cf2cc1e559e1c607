# shellcheck shell=bash
# The faults that cures.sh makes and mends, each with what the doctor says of it: `fault` and `words` are there.
# Each acts on the machine by `on`, in the world that is tried: systemd, runit or container.
SPOOL=/var/lib/kopano/spamd
SECRET=/etc/kopano-learnd/rspamd-password
INOTIFY_LIMIT=/proc/sys/fs/inotify/max_user_instances

# --- the spool

no_spool() { on rm -r $SPOOL; }
spam_is_closed() { on chown root:root $SPOOL/spam && on chmod 0700 $SPOOL/spam; }
spam_is_anothers() { on chown 12345:amavis $SPOOL/spam && on chmod 1775 $SPOOL/spam; }
spool_is_shut() { on chown root:root $SPOOL && on chmod 0700 $SPOOL; }
state_is_roots() { on chown -R root:root $SPOOL/.learnd; }
is_replaced_by_link() { on sh -c "rmdir $SPOOL/spam && ln -s /tmp $SPOOL/spam"; }
after_symlink() { on rm -f $SPOOL/spam.old; }

fault no-spam 'spam/ is missing' 'spam/: .* is missing' on rmdir $SPOOL/spam
fault no-folders 'both folders are missing' 'ham/: .* is missing' on rmdir $SPOOL/spam $SPOOL/ham
fault no-spool 'the whole spool is missing' 'spool: .* is missing' no_spool
fault roots-spam "spam/ is root's" 'may not write to it' on chown root:root $SPOOL/spam
fault closed-spam "spam/ is root's, and closed" 'may not be listed' spam_is_closed
fault roots-ham "ham/ is root's" 'may not write to it' on chown root:root $SPOOL/ham
fault readonly-spam 'spam/ is read-only' 'may not write to it' on chmod 0500 $SPOOL/spam
fault sticky-spam "spam/ is another's, and sticky" 'sticky|may not write' spam_is_anothers
fault everybodys 'everybody may write to them' 'everybody on this machine' on chmod 0777 $SPOOL/spam $SPOOL/ham
fault shut-spool 'the spool may not be entered' 'may not be entered' spool_is_shut
fault symlink 'spam/ is a symlink' 'is a symlink to /tmp' is_replaced_by_link
fault roots-state "the state dir is root's" 'state dir .* belongs to uid 0' state_is_roots
fault readonly-state 'the state dir is read-only' 'no file can be written' on chmod 0500 $SPOOL/.learnd $SPOOL/.learnd/tmp

folder_again() {
  on find $SPOOL/spam -maxdepth 0 -type l -delete 2>"$scratch/output"
  on install -d -o kopano -g kopano -m 0755 $SPOOL/spam
}

# --- the service

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

restart_service() { service stop && { service start || true; }; }
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

fault no-daemon 'no daemon runs' 'no daemon runs' service stop
fault loose-state 'the state dir is open to others' 'can be written by others' state_is_loose
fault roots-state-at-start "the daemon ended because the state dir is root's" 'belongs to uid 0' state_is_roots_at_start
fault no-state "the state dir is missing, and can't be made" 'may not make it' no_state
fault all-roots "all of it is root's" 'belongs to root' all_is_roots
fault group 'a message is of another group' 'give the daemon.s user the group' message_of_group 4710
fault nameless-group 'a message is of a group without a name' 'give the daemon.s user the group' message_of_group 4711
fault late-group 'the daemon has not got its new group' 'started without the group' on usermod -aG late kopano

# The next world begins without these groups.
begin_groups() { on groupadd --gid 4710 filter && on groupadd --gid 4712 late; }
end_groups() {
  local group
  for group in filter learnd-4711 late; do on groupdel $group; done
  restart_service
}

# --- the settings

# add LINE: a setting that the daemon doesn't know yet
add() { on sh -c "echo '$1' >>$CONF"; }
wrong_at_start() { add "$1" && restart_service; }
file_is_open() { on chmod 0666 $CONF && restart_service; }
file_is_anothers() { on chown 12345 $CONF && restart_service; }
file_is_shut() { on chown root:root $CONF && on chmod 0600 $CONF && restart_service; }
secret_is_shut() { on chown root:root $SECRET && on chmod 0400 $SECRET && restart_service; }
url_is() { on sed -i "s|^RSPAMD_URL=.*|RSPAMD_URL=$1|" $CONF && restart_service; }

settings_again() {
  on install -o root -g kopano -m 0640 /dev/stdin $CONF <<END
RSPAMD_URL=http://$RSPAMD_ADDRESS:11334
RSPAMD_PASSWORD_FILE=$SECRET
END
  on install -o kopano -g kopano -m 0400 /dev/stdin $SECRET <<<"$PASSWORD"
  restart_service
}

fault other-name 'a name is that of another filter' 'did you mean RSPAMD_TIMEOUT_SECONDS' add RSPAMD_TIMEOUT_SECOND=20
fault old-name 'a name of old kept the daemon from starting' 'did you mean LEARN_CONCURRENCY' wrong_at_start LEARN_CONCURENCY=8
fault quotes 'a value stands in quotes' 'leave out the quotes' add 'LEARN_ARCHIVE_DAYS="20"'
fault open-file 'the settings file may be written by others' 'can be written by others' file_is_open
fault anothers-file "the settings file is another's" 'can be written by others .uid 12345' file_is_anothers
fault shut-file "the settings file can't be read" "cannot be read .EACCES" file_is_shut
fault shut-secret "the password's file can't be read" 'RSPAMD_PASSWORD_FILE .* cannot be read .EACCES' secret_is_shut
fault changed 'a setting was changed since the start' 'the running daemon has LEARN_AFTER' add LEARN_AFTER=archive
fault wrong-port 'the port is none of this machine' 'nobody listens there' url_is http://127.0.0.1:11339

words wrong-value 'a value is none' 'LEARN_MAX_BYTES must be' settings_again wrong_at_start LEARN_MAX_BYTES=much
words no-secret "the password's file is missing" 'cannot be read .ENOENT' settings_again on rm $SECRET
words wrong-secret 'the password is wrong' 'refuses the password' settings_again on sh -c "echo wrong >$SECRET"
words quoted-secret 'the password stands in quotes' 'leave out the quotes' settings_again on sed -i 's/.*/"&"/' $SECRET
words scan-worker 'it is the port of the scan worker' "scan worker|not rspamd's controller" settings_again url_is http://127.0.0.1:11333
words no-host 'the host is unknown' 'host name is not found' settings_again url_is http://nowhere.invalid:11334

# --- rspamd and Redis

redis_is_down() { server stop redis && server restart rspamd && within 20 controller_answers; }

no_backend() {
  on sh -c 'cd /etc/rspamd/local.d && rm redis.conf && echo "monitor_timeout = 1;" >classifier-bayes.conf' &&
    server restart rspamd && within 20 controller_answers
}

few_are_learned() { teach 3; }
enough_again() { teach 300; }

# Bayes' own figures, as if it had learned so many of each class.
teach() {
  local class
  for class in spam ham; do
    on redis-cli sadd "BAYES_${class^^}_keys" RS && on redis-cli hset RS "learns_$class" "$1" || return 1
  done >"$scratch/redis-cli"
}

daemon_is_stopped() { pkill -STOP -f 'kopano-learnd(.mjs)? watch'; }

use_up_inotify() {
  local number=294
  if [[ $(uname -m) == aarch64 ]]; then number=26; fi
  inotify_limit=$(cat $INOTIFY_LIMIT)
  # one that a daemon gives back as it is restarted is taken, too; all end with perl
  # shellcheck disable=SC2016
  setpriv --reuid="$KOPANO" --regid="$KOPANO" --clear-groups perl -e '
    my ($number, $most) = map { $_ + 0 } @ARGV;
    $| = 1;
    for (my $held = 0; ; select undef, undef, undef, 0.05) {
      $held++ while $held < $most && syscall($number, 0) >= 0;
      print "full\n";
    }
  ' $number "$inotify_limit" >"$scratch/inotify" &
  holder=$!
  within 10 grep -q full "$scratch/inotify"
}

after_inotify() {
  kill "$holder"
  echo "$inotify_limit" >$INOTIFY_LIMIT
}

fault rspamd-down 'rspamd is down' 'connection refused' server stop rspamd
fault redis-down 'Redis is down' 'Redis' redis_is_down
fault no-backend 'Bayes has no backend' 'no Bayes backend' no_backend
fault frozen 'the daemon has been stopped by a signal' 'does not answer' daemon_is_stopped
fault inotify 'the inotify instances are used up' 'has used up max_user_instances' use_up_inotify
words few 'Bayes has learned too little' 'gives no opinion before' enough_again few_are_learned

# --- what only one world has

spool_is_elsewhere() {
  on cp -a $SPOOL '/srv/my spool' && add 'KOPANO_SPAMD_LIB=/srv/my spool' && restart_service
}

unit_sets() {
  on sh -c 'mkdir -p /etc/systemd/system/kopano-learnd.service.d &&
    printf "[Service]\nEnvironment=LEARN_AFTER=archive\n" >/etc/systemd/system/kopano-learnd.service.d/after.conf &&
    systemctl daemon-reload && systemctl restart kopano-learnd'
}

user_is_said() {
  on sh -c 'echo kopano >/etc/sv/kopano-learnd/user' && on groupadd --gid 4713 other && restart_service &&
    message_of_group 4713
}

fault other-spool 'the unit may not write to another spool' 'fails the running daemon' spool_is_elsewhere
after_other_spool() { settings_again; }
fault unit-sets 'the unit sets what the file does not' 'the running daemon has LEARN_AFTER' unit_sets
fault said-user 'a message is of another group than ./user says' 'give the daemon.s user the group' user_is_said
after_said_user() { on rm /etc/sv/kopano-learnd/user; }

# In the container there is no root, and it has the groups and the limits that it was started with.
no_message() { on rm -f $SPOOL/spam/4710.eml; }
rspamd_again() { server start rspamd && within 60 controller_answers; }
secret_again() { on sh -c "cat >$SECRET" <<<"$PASSWORD"; }
daemon_again() { pkill -CONT -f 'kopano-learnd(.mjs)? watch'; }

words inner-group 'a message is of another group' '--group-add 4710' no_message message_of_group 4710
words inner-rspamd-down 'rspamd is down' 'connection refused' rspamd_again server stop rspamd
words inner-secret 'the password is wrong' 'refuses the password' secret_again on sh -c "echo wrong >$SECRET"
words inner-frozen 'the daemon has been stopped by a signal' 'does not answer' daemon_again daemon_is_stopped
words inner-inotify 'the inotify instances are used up' 'raise it on the host' after_inotify use_up_inotify
