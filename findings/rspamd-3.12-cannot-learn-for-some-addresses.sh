#!/usr/bin/env bash
# rspamd 3.12.1 (Debian 13), Redis 8.0
#
# With `expand_keys = true` and a Bayes memory for each recipient (`per_user = true`), whether a
# message can be learned depends on the length of the recipient's address: with 14 characters many get
# "500 ERR user_script:1: Missing bytes in input" each time, all others learn. (rspamd issue 5904.)
#
# Seen: as spam and as ham an address of 14 characters fails, those of 9 to 22 around it learn.
. "$(dirname "$0")/lib.sh"
system trixie rspamd=3.12.1-* redis-server=5:8.0.*

echo 'per_user = true;' >/etc/rspamd/local.d/classifier-bayes.conf
start_redis
configure_rspamd
echo 'expand_keys = true;' >>/etc/rspamd/local.d/redis.conf
launch_rspamd
until_true curl -sf http://127.0.0.1:11334/ping
sleep 3
for class in spam ham; do
  failing=''
  for length in {9..22}; do
    name=abcdefghijklmnopqrstuvwxyz
    to=${name:0:$((length - 6))}@x.org
    message "$length" | sed "s/^To: .*/To: <$to>/" >letter
    status=$(learn "$class" letter 'Learn-Type: bulk')
    printf '    %-24s %s %s\n' "$to" "$status" "$([[ $status == 200 ]] || cat reason)"
    [[ $status == 200 ]] || failing+="$length "
  done
  seen "lengths that cannot be learned as $class" "$failing" '14 '
done
finish
