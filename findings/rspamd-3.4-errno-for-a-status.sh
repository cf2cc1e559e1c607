#!/usr/bin/env bash
# rspamd 3.4 (Debian 12), Redis 7.0.15, curl 7.88, Node.js 18
#
# While its Redis is away, the status line of rspamd's answer to a learning post has a small error
# number where the status belongs. A client that takes only 200 and above for an answer, or only three
# digits for a status, sees none.
#
# Seen: "HTTP/1.1 1 ..."; for Node.js a response with the status 1, for curl no valid answer at all.
. "$(dirname "$0")/lib.sh"
system bookworm rspamd=3.4-1 redis-server=5:7.0.15-* nodejs

start_redis
start_rspamd
message 1 >letter
seen 'posted, with Redis' "$(learn spam letter)" 200
message 2 >letter
redis-cli shutdown nosave
sleep 1
exec 3<>/dev/tcp/127.0.0.1/11334
{ printf 'POST /learnspam HTTP/1.0\r\nContent-Length: %s\r\n\r\n' "$(wc -c <letter)" && cat letter; } >&3
read -r line <&3
exec 3>&-
printf '    %s\n' "${line%$'\r'}"
seen 'the status' "$(cut -d ' ' -f 2 <<<"$line")" 1
status=0
curl -s -o /dev/null --http1.1 --data-binary @letter -H 'Expect:' http://127.0.0.1:11334/learnspam || status=$?
seen "curl's exit status" "$status" 1
cat >post.mjs <<'END'
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
const post = request({ port: 11334, path: '/learnspam', method: 'POST' });
post.on('response', ({ statusCode }) => console.log('response', statusCode));
post.on('error', ({ code }) => console.log('error', code));
post.end(readFileSync('letter'));
END
seen 'Node.js' "$(timeout 20 node post.mjs)" 'response 1'
finish
