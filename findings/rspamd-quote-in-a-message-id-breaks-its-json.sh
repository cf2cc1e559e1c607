#!/usr/bin/env bash
# rspamd 3.12.1 (Debian 13), Redis 8.0
#
# The answer to a message that is known already repeats its Message-ID in a JSON text, and escapes
# nothing there: a Message-ID with quotes, which RFC 5322 allows, makes it invalid. Who parses the
# answer of a learning post with a JSON parser sees an error for a message that is fine.
#
# Seen: 208 whose body python3's json refuses; the same message with a plain Message-ID parses.
. "$(dirname "$0")/lib.sh"
system trixie rspamd=3.12.1-* redis-server=5:8.0.* python3

parses() {
  if python3 -c 'import json; json.load(open("body"))' 2>/dev/null; then echo yes; else echo no; fi
}

start_redis
start_rspamd
message 1 >plain
message 2 | sed 's/^Message-ID: .*/Message-ID: <"anna berta"@example.org>/' >quoted
for letter in plain quoted; do
  seen "$letter, posted" "$(learn spam "$letter")" 200
  seen "$letter, posted again" "$(learn spam "$letter")" 208
  sed 's/^/    /' body
  echo
  seen 'its JSON is valid' "$(parses)" "$([[ $letter == plain ]] && echo yes || echo no)"
done
finish
