#!/usr/bin/env bash
# rspamd 3.4 (Debian 12), Redis 7.0.15
#
# rspamc learn_spam says "success = true" and ends with 0 for a message that rspamd refuses (204: too
# few tokens). A loop of "rspamc learn_spam FILE && rm FILE" deletes it.
#
# Seen: the controller answers 204 with "contains less tokens than required"; rspamc ends with 0.
. "$(dirname "$0")/lib.sh"
system bookworm rspamd=3.4-1 redis-server=5:7.0.15-*

start_redis
start_rspamd
printf 'From: anna@example.org\nSubject: hi\nMessage-ID: <short@example.org>\n\nhi\n' >short
seen 'posted' "$(learn spam short)" 204
seen 'because' "$(grep -c 'contains less tokens than required' reason)" 1
status=0
rspamc -h 127.0.0.1:11334 learn_spam short >said 2>&1 || status=$?
sed 's/^/    /' said
seen "rspamc's exit status" "$status" 0
seen 'counted' "$(learned spam)" 0
finish
