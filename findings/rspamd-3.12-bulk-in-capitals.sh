#!/usr/bin/env bash
# rspamd 3.12.1 (Debian 13), Redis 8.0
#
# `Learn-Type: bulk` makes rspamd learn what Bayes is already sure of. The value is compared letter by
# letter: `Bulk` is no error and has no effect, so that most of an archive is refused with 204 once
# Bayes knows some of it. (rspamd 4.1.5 takes both.)
#
# Seen: a message that Bayes is sure of gets 204 without the header, 204 with Bulk, 200 with bulk.
. "$(dirname "$0")/lib.sh"
system trixie rspamd=3.12.1-* redis-server=5:8.0.*

echo 'min_learns = 5;' >/etc/rspamd/local.d/classifier-bayes.conf
start_redis
start_rspamd
pills() {
  printf 'From: a@example.org\nTo: b@example.net\nSubject: pills\nMessage-ID: <pills.%s@example.org>\n\n' "$1"
  printf 'cheap pills without prescription buy now discount pharmacy overnight shipping offer %s\n' \
    "number$1" "again$1" "bargain$1"
}
for number in {1..12}; do
  pills "$number" >letter && learn spam letter 'Learn-Type: bulk' >/dev/null
  message "$number" >letter && learn ham letter 'Learn-Type: bulk' >/dev/null
done
sleep 1
pills 100 >letter
seen 'without the header' "$(learn spam letter)" 204
seen 'because' "$(grep -c 'all learn conditions denied' reason)" 1
seen 'Learn-Type: Bulk' "$(learn spam letter 'Learn-Type: Bulk')" 204
seen 'Learn-Type: bulk' "$(learn spam letter 'Learn-Type: bulk')" 200
finish
