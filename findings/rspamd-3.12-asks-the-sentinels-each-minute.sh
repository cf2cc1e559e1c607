#!/usr/bin/env bash
# rspamd 3.12.1 (Debian 13), 3.4 as well; Redis 8.0; rspamd 4.1.5 differs
#
# `sentinel_watch_time` in the settings of Redis, which is to say how often rspamd asks the sentinels for
# the master, has no effect: it is known to the configuration, and nobody reads it. Each worker asks when
# it starts and then once a minute. It asks sooner only when a master has failed it three times, and once
# for each master: a worker that asks before there is a new one stays with the old one for the rest of
# the minute. (4.1.5 heeds it.)
#
# Seen: with `sentinel_watch_time = 1s` the sentinel is asked by each worker in the first minute once.
. "$(dirname "$0")/lib.sh"
system trixie rspamd=3.12.1-* redis-server=5:8.0.* redis-sentinel=5:8.0.*

# asked SECONDS: how many connections come to the sentinel meanwhile; the one that asks for that is none
asked() {
  local before
  before=$(connections)
  sleep "$1"
  echo $(($(connections) - before - 1))
}

connections() {
  redis-cli -p 26379 info stats | sed -n 's/^total_connections_received:\([0-9]*\).*/\1/p'
}

start_redis
echo 'sentinel monitor bayes 127.0.0.1 6379 1' >sentinel.conf
setsid redis-sentinel sentinel.conf --port 26379 --bind 127.0.0.1 >sentinel.log 2>&1 </dev/null &
until_true redis-cli -p 26379 ping
configure_rspamd
cat >>/etc/rspamd/local.d/redis.conf <<'EOF'
sentinels = "127.0.0.1:26379";
sentinel_watch_time = 1s;
EOF
launch_rspamd
until_true curl -sf http://127.0.0.1:11334/ping
sleep 10
seen 'the sentinel is asked in 20 seconds' "$(asked 20)" 0
if (($(asked 60) > 0)); then again=yes; else again=no; fi
seen 'and in the next minute' "$again" yes
finish
