#!/usr/bin/env bash
# rspamd 3.4 (Debian 12) and 3.12.1 (Debian 13), Redis 8.0
#
# rspamd keeps a list of the messages that it has learned, so that none counts twice. 3.12 and 3.4 name
# them in different ways, in the same Redis: after an update no message is known. Learned again it
# counts twice, and one whose verdict is turned counts in both classes. What Bayes itself knows is
# understood by both.
#
# Seen: 3.4 learns two letters as spam and knows them; 3.12 learns the first one again, and the other one
# as ham: 3 spam, 1 ham.
. "$(dirname "$0")/lib.sh"
beside bookworm rspamd=3.4-1
system trixie rspamd=3.12.1-* redis-server=5:8.0.*

message 1 >first
message 2 >second
start_redis
start_rspamd /beside
seen '3.4 learns a letter' "$(learn spam first)" 200
seen 'knows it' "$(learn spam first)" 208
seen 'and learns another one' "$(learn spam second)" 200
kill "$rspamd"
wait "$rspamd" || true
start_rspamd
seen '3.12: the first letter, once more' "$(learn spam first)" 200
seen 'the second one, which is ham now' "$(learn ham second)" 200
seen 'counted as spam' "$(learned spam)" 3
seen 'as ham' "$(learned ham)" 1
finish
