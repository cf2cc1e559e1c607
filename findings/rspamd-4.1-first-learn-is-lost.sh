#!/usr/bin/env bash
# rspamd 4.1.5, Redis 8.0.6 (Debian forky)
#
# The controller's port is open before its worker has put its scripts into Redis. A message that is
# posted then is answered 200 "success", and is not learned: the log says "is not ready, waiting it to
# be loaded" and then "config is not passed", because the request is over when the scripts are there.
# Waiting for the answer to a GET /ping is enough. In 2 of 100 starts the id was stored and the words
# were not, so that the next post was answered 208 "already learned" of a message that Bayes never got.
#
# Seen, in each of three starts: 200, counted 0. After a ping: 200, counted 1.
. "$(dirname "$0")/lib.sh"
system forky rspamd=4.1.5-* redis-server=5:8.0.6-*

# A port of /proc/net/tcp in hexadecimal, and 0A for "listens".
is_open() {
  grep -q ":$(printf %04X 11334) 00000000:0000 0A" /proc/net/tcp
}

stop_rspamd() {
  kill -KILL -- "-$rspamd"
  wait "$rspamd" 2>/dev/null || true
}

start_redis
configure_rspamd
message 1 >letter
for start in 1 2 3; do
  redis-cli flushall >/dev/null
  launch_rspamd
  until is_open; do sleep 0.01; done
  seen "start $start, posted at once" "$(learn spam letter)" 200
  sleep 3
  seen 'counted' "$(learned spam)" 0
  stop_rspamd
done
redis-cli flushall >/dev/null
launch_rspamd
until is_open; do sleep 0.01; done
seen 'ping' "$(curl -s http://127.0.0.1:11334/ping | tr -d '\r\n')" pong
seen 'posted after it' "$(learn spam letter)" 200
sleep 3
seen 'counted' "$(learned spam)" 1
finish
