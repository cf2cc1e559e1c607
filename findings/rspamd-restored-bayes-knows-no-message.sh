#!/usr/bin/env bash
# rspamd 4.1.5, Redis 8.0.6 (Debian forky)
#
# `rspamadm statistics_dump` takes Bayes from one Redis to another: its words and its counts, and not the list of
# the messages that it has learned. There each message is new: learned again it counts twice, and one whose
# verdict is turned counts in both classes. And of the three forms that `dump` writes `restore` reads only the
# plain one: what -c compressed and -j made is refused (zstd -d makes the first one plain).
#
# Seen: three messages are learned and known (208); restored into an empty Redis they are counted, and not known
# (200), and count twice. A fourth one, which was spam, becomes ham, and the count of spam stays as it was.
. "$(dirname "$0")/lib.sh"
system forky rspamd=4.1.5-* redis-server=5:8.0.6-*

# restore FILE: the exit status
restore() {
  local status=0
  rspamadm statistics_dump restore "$1" >>rspamadm.log 2>&1 </dev/null || status=$?
  echo "$status"
}

start_redis
start_rspamd
for number in 1 2 3 4; do
  message "$number" >"letter.$number"
  learn spam "letter.$number" 'Learn-Type: bulk' >/dev/null
done
sleep 1
seen 'three of four are taught again' "$(three)" '208 208 208'
for form in '' -c -j; do
  # shellcheck disable=SC2086
  rspamadm statistics_dump dump $form >"dump$form" 2>>rspamadm.log </dev/null
done
redis-cli flushall >/dev/null
seen 'restore of what -c wrote ends with' "$(restore dump-c)" 1
seen 'of what -j wrote' "$(restore dump-j)" 1
seen 'of the plain dump' "$(restore dump)" 0
seen 'counted' "$(learned spam)" 4
seen 'the three are taught again' "$(three)" '200 200 200'
seen 'counted' "$(learned spam)" 7
seen 'the fourth as ham' "$(learn ham letter.4 'Learn-Type: bulk')" 200
seen 'counted as spam, as ham' "$(learned spam) $(learned ham)" '7 1'
finish
