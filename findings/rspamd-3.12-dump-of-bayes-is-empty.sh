#!/usr/bin/env bash
# rspamd 3.12.1 (Debian 13), 3.4 as well; Redis 8.0; rspamd 4.1.5 differs
#
# `rspamadm statistics_dump dump` writes Bayes to a file, and `restore` reads it. Where the address of Redis
# stands in local.d/redis.conf, from where rspamd itself has it for Bayes, both take it that there is no Bayes:
# they do nothing, say nothing and end with 0. A nightly backup so made is an empty file each night. They find
# Bayes when the address stands in local.d/classifier-bayes.conf as well.
#
# Seen: of three learned messages the dump has no byte, and exit status 0; with the address in the second file
# it has all their words, and the counts. `restore` of that good dump into an empty Redis, with the address in
# the first file alone, brings nothing and ends with 0.
. "$(dirname "$0")/lib.sh"
system trixie rspamd=3.12.1-* redis-server=5:8.0.*

# dump FILE: the exit status; what it writes is in FILE
dump() {
  local status=0
  rspamadm statistics_dump dump >"$1" 2>>rspamadm.log </dev/null || status=$?
  echo "$status"
}
restore() {
  local status=0
  rspamadm statistics_dump restore "$1" >>rspamadm.log 2>&1 </dev/null || status=$?
  echo "$status"
}

start_redis
start_rspamd
for number in 1 2 3; do
  message "$number" >letter
  learn spam letter >/dev/null
done
sleep 1
seen 'learned' "$(learned spam)" 3
words=$(redis-cli --scan --pattern 'RS_*' | wc -l)
seen 'dump' "$(dump empty)" 0
seen 'its bytes' "$(stat -c %s empty)" 0

echo 'servers = "127.0.0.1:6379";' >/etc/rspamd/local.d/classifier-bayes.conf
seen 'dump, with the address in classifier-bayes.conf too' "$(dump full)" 0
seen 'all keys of words are in it' "$(($(grep -c '^"RS_' full) == words))" 1
seen 'and the count' "$(grep -o '"learns_spam":"[0-9]*"' full)" '"learns_spam":"3"'

rm /etc/rspamd/local.d/classifier-bayes.conf
redis-cli flushall >/dev/null
seen 'restore of that, without' "$(restore full)" 0
seen 'keys in Redis' "$(redis-cli dbsize)" 0
echo 'servers = "127.0.0.1:6379";' >/etc/rspamd/local.d/classifier-bayes.conf
seen 'restore of that, with' "$(restore full)" 0
seen 'learned' "$(learned spam)" 3
finish
