#!/usr/bin/env bash
# rspamd 3.12.1 (Debian 13), Redis 8.0
#
# With `expand_keys = true` and a Bayes memory for each recipient (`per_user = true`), whether a
# message can be learned depends on the length of the recipient's address: some lengths get "500 ERR
# user_script:1: Missing bytes in input" each time, all others learn. (rspamd issue 5904.)
#
# Seen: 13 characters (anna7890@x.org is 14) and 14 fail, those around them learn.
. "$(dirname "$0")/lib.sh"
system trixie rspamd=3.12.1-* redis-server=5:8.0.*

echo 'per_user = true;' >/etc/rspamd/local.d/classifier-bayes.conf
start_redis
configure_rspamd
echo 'expand_keys = true;' >>/etc/rspamd/local.d/redis.conf
launch_rspamd
until_true curl -sf http://127.0.0.1:11334/ping
sleep 3
failing=''
for length in {9..22}; do
  name=abcdefghijklmnopqrstuvwxyz
  to=${name:0:$((length - 6))}@x.org
  message "$length" | sed "s/^To: .*/To: <$to>/" >letter
  status=$(learn spam letter 'Learn-Type: bulk')
  printf '    %-24s %s %s\n' "$to" "$status" "$([[ $status == 200 ]] || cat reason)"
  [[ $status == 200 ]] || failing+="$length "
done
seen 'lengths that cannot be learned' "$failing" '13 14 '
finish
