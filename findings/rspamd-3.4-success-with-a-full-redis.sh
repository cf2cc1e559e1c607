#!/usr/bin/env bash
# rspamd 3.4 (Debian 12) and 3.12.1 differ; Redis 7.0.15
#
# Redis has no room (maxmemory, noeviction): rspamd 3.4 answers 200 {"success":true} to a message of
# which nothing is stored, and again when it is posted again. What was learned before is still
# answered 208. (3.12.1 answers 500 with Redis' own words, OOM.)
#
# Seen: 200 twice, nothing counted; with room again 200, 208 and one counted.
. "$(dirname "$0")/lib.sh"
system bookworm rspamd=3.4-1 redis-server=5:7.0.15-*

start_redis
start_rspamd
message 1 >first
message 2 >second
seen 'posted, with room' "$(learn spam first)" 200
seen 'posted again' "$(learn spam first)" 208
redis-cli config set maxmemory-policy noeviction >/dev/null
redis-cli config set maxmemory 1 >/dev/null
seen 'another one posted, without room' "$(learn spam second)" 200
seen 'it says' "$(cat body)" '{"success":true}'
seen 'posted again' "$(learn spam second)" 200
seen 'counted' "$(learned spam)" 1
seen 'the first one posted again' "$(learn spam first)" 208
redis-cli config set maxmemory 0 >/dev/null
seen 'the second one posted, with room' "$(learn spam second)" 200
seen 'posted again' "$(learn spam second)" 208
seen 'counted' "$(learned spam)" 2
finish
