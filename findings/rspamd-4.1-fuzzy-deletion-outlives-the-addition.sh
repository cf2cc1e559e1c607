#!/usr/bin/env bash
# rspamd 4.1.5, Redis 8.0.6 (Debian forky)
#
# The fuzzy storage collects what it is told until it writes that (`sync`, a minute unless set). A hash
# that is deleted and then added within that time is gone afterwards, though both were answered with
# success. rspamd 3.4 keeps it.
#
# Seen: a hash after /fuzzyadd alone; none after /fuzzydel and /fuzzyadd.
. "$(dirname "$0")/lib.sh"
system forky rspamd=4.1.5-* redis-server=5:8.0.6-*

fuzzy_storage 4
start_redis
start_rspamd
lists() {
  sleep 10
  curl -s --data-binary @letter http://127.0.0.1:11334/checkv2 >body
  for name in SPAM HAM; do if grep -q "\"$name\":" body; then echo "$name"; fi; done
}
message 1 >letter
seen 'one letter is added with flag 11' "$(fuzzy add 11 letter)" 200
seen 'in lists' "$(lists)" SPAM
message 2 >letter
seen 'another one is deleted with flag 13' "$(fuzzy del 13 letter)" 200
seen 'then added with flag 11' "$(fuzzy add 11 letter)" 200
seen 'in lists' "$(lists)" ''
finish
