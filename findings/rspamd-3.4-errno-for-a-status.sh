#!/usr/bin/env bash
# rspamd 3.4 (Debian 12), Redis 7.0.15, Node.js 18 (Debian 12)
#
# While its Redis is away, the status line of rspamd's answer to a learning post may have an errno
# where the status belongs: "HTTP/1.1 111 ..." or "HTTP/1.1 1 cannot get learned: error getting reply
# from redis server". Below 200 that is an interim answer to an HTTP client, and no status at all where
# it has one or two digits: Node.js gives no response for it.
#
# Seen: with Redis killed a status below 200; Node.js ends without a response.
. "$(dirname "$0")/lib.sh"
system bookworm rspamd=3.4-1 redis-server=5:7.0.15-* nodejs

start_redis
start_rspamd
message 1 >letter
seen 'posted, with Redis' "$(learn spam letter)" 200
message 2 >letter
redis-cli shutdown nosave
cat >post.mjs <<'END'
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
const post = request({ port: 11334, path: '/learnspam', method: 'POST', timeout: 20_000 });
for (const event of ['response', 'information', 'timeout', 'error', 'close']) {
  post.on(event, (what) => console.log(event, what?.statusCode ?? what?.code ?? ''));
}
post.end(readFileSync('letter'));
END
for _ in 1 2 3 4 5 6; do
  learn spam letter >/dev/null
  sed -n 1p head | tr -d '\r' | cut -c1-110 | sed 's/^/    /'
  timeout 20 node post.mjs | sed 's/^/      Node.js: /'
  sleep 1
done
finish
