#!/usr/bin/env bash
# rspamd 3.12.1 (Debian 13), Redis 8.0, Node.js 20.19
#
# A message with too few words is refused with 204, and with a body, which a 204 has not (RFC 9110).
# curl says 204. Node.js gives the response and then an error, HPE_CLOSED_CONNECTION, for the same
# request. Who tries again after connection errors does so for ever.
. "$(dirname "$0")/lib.sh"
system trixie rspamd=3.12.1-* redis-server=5:8.0.* nodejs

start_redis
start_rspamd
printf 'From: anna@example.org\nSubject: hi\nMessage-ID: <short@example.org>\n\nhi\n' >short
seen 'curl' "$(learn spam short)" 204
seen 'its Content-Length' "$(tr -d '\r' <head | awk 'tolower($1) == "content-length:" { print ($2 > 0) ? "above 0" : $2 }')" 'above 0'
cat >post.mjs <<'END'
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
const post = request({ port: 11334, path: '/learnspam', method: 'POST' });
post.on('response', (response) => {
  console.log('response', response.statusCode);
  response.resume();
  for (const event of ['end', 'error', 'aborted']) {
    response.on(event, (error) => console.log('response', event, error?.code ?? ''));
  }
});
post.on('error', (error) => console.log('request error', error.code));
post.end(readFileSync('short'));
END
node post.mjs | sed 's/ *$//' >events
sed 's/^/    /' events
seen 'Node.js: a response' "$(grep -c '^response 204$' events)" 1
seen 'Node.js: and an error' "$(grep -c 'HPE_CLOSED_CONNECTION' events)" 1
finish
