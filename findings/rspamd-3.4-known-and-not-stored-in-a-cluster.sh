#!/usr/bin/env bash
# rspamd 3.4 (Debian 12); Redis 7.0.15
#
# rspamd is given one node of a Redis cluster. Where that node has the slot of the key that lists the
# learned messages, rspamd answers "learned" and afterwards "has been already learned", and Bayes counts
# nothing: the keys of its counts belong to another node, and nobody looks at the MOVED that says so.
#
# Seen: 200, then 208, three times, and a minute later /stat shows 0 learned messages.
. "$(dirname "$0")/lib.sh"
system bookworm rspamd=3.4-1 redis-server=5:7.0.15-*

for port in 6379 6380; do
  setsid redis-server --port $port --bind 127.0.0.1 --save '' --cluster-enabled yes \
    --cluster-config-file nodes-$port.conf >redis-$port.log 2>&1 </dev/null &
  until_true redis-cli -p $port ping
done
redis-cli cluster addslotsrange 0 8000 >/dev/null
redis-cli -p 6380 cluster addslotsrange 8001 16383 >/dev/null
redis-cli cluster meet 127.0.0.1 6380 >/dev/null
until_true sh -c 'redis-cli cluster info | grep -q cluster_state:ok'
start_rspamd

for number in 1 2 3; do message $number >letter.$number; done
seen 'three letters are taught' "$(for number in 1 2 3; do learn spam letter.$number; echo; done | xargs)" \
  '200 200 200'
seen 'the same three once more' "$(for number in 1 2 3; do learn spam letter.$number; echo; done | xargs)" \
  '208 208 208'
seen 'the reason' "$(sed 's/.* has been/has been/' reason)" 'has been already learned as spam, ignore it'
# rspamd refreshes this count every 30 to 60 seconds
sleep 65
seen 'what Bayes holds, by /stat' \
  "$(curl -s http://127.0.0.1:11334/stat | grep -o '"revision":[0-9]*' | xargs)" 'revision:0 revision:0'
finish
