#!/usr/bin/env bash
# rspamd 4.1.5, Redis 8.0.6 (Debian forky)
#
# rspamd remembers the ids of learned messages in Redis hashes (learned_ids, learned_idsX, ...), by
# default six of 10,000 each. When all are full it makes room, and what it forgets then is not only
# the oldest: the message that is just being learned is put into the first hash, and the second one is
# renamed over it in the same step. So this one message is counted again when it comes again, and with
# it all of the oldest 10,000. Shown with three hashes of ten (cache_max_elt, cache_max_keys).
#
# Seen: thirty messages are known when they come again (208). The 31st is not (200, 200, 208) and
# counts twice; the first one isn't any more, either (200), and counts twice as well.
. "$(dirname "$0")/lib.sh"
system forky rspamd=4.1.5-* redis-server=5:8.0.6-*

cat >/etc/rspamd/local.d/classifier-bayes.conf <<'END'
cache_max_elt = 10;
cache_max_keys = 2;
END
start_redis
start_rspamd
known=0
for number in {1..30}; do
  message "$number" >"letter.$number"
  learn spam "letter.$number" 'Learn-Type: bulk' >/dev/null
done
for number in {1..30}; do
  [[ $(learn spam "letter.$number" 'Learn-Type: bulk') != 208 ]] || known=$((known + 1))
done
seen 'thirty messages posted, and of them known when posted again' "$known" 30
seen 'counted' "$(learned spam)" 30
message 31 >letter.31
for status in 200 200 208; do
  seen 'the 31st posted' "$(learn spam letter.31 'Learn-Type: bulk')" "$status"
done
seen 'counted' "$(learned spam)" 32
seen 'the first one posted again' "$(learn spam letter.1 'Learn-Type: bulk')" 200
seen 'counted' "$(learned spam)" 33
finish
