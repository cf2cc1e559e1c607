#!/usr/bin/env bash
# rspamd 3.12.1 (Debian 13), 4.1.5 as well; Redis 8.0
#
# To know a message again rspamd looks at the day of the week and the hour of its Date, too, in the time zone of
# rspamd itself. One that moves from a host into a container, whose zone is UTC, or two of them in different zones
# beside one Redis, don't know each other's messages: taught again each counts twice, and one whose verdict is
# turned counts in both classes. The same TZ for all of them keeps what is known.
#
# Seen: three letters are learned and known (208); after a restart with TZ an hour ahead they are new (200) and
# count twice, and a fourth one, which was spam, becomes ham and stays spam; with the first TZ they are known.
. "$(dirname "$0")/lib.sh"
system trixie rspamd=3.12.1-* redis-server=5:8.0.*

# in_zone TZ: rspamd from here on
in_zone() {
  if [[ ${rspamd-} ]]; then
    kill -KILL -- "-$rspamd"
    wait "$rspamd" 2>/dev/null || true
  fi
  export TZ=$1
  start_rspamd
}

for number in 1 2 3 4; do message "$number" >"letter.$number"; done
start_redis
in_zone UTC0
learn spam letter.4 'Learn-Type: bulk' >/dev/null
seen 'UTC: three letters' "$(three)" '200 200 200'
seen 'once more' "$(three)" '208 208 208'
in_zone UTC0
seen 'after a restart' "$(three)" '208 208 208'
in_zone CET-1
seen 'CET: the same three' "$(three)" '200 200 200'
seen 'the fourth as ham' "$(learn ham letter.4 'Learn-Type: bulk')" 200
seen 'counted as spam, as ham' "$(learned spam) $(learned ham)" '7 1'
in_zone UTC0
seen 'UTC: the same three' "$(three)" '208 208 208'
finish
