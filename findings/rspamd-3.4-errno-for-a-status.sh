#!/usr/bin/env bash
# rspamd 3.4 (Debian 12), Redis 7.0.15, Node.js 18 (Debian 12)
#
# When Redis refuses to read (here: it wants a password now), the status line of rspamd's answer to a
# learning post is no status but a small error number: "HTTP/1.1 1 cannot get learned: error getting
# reply from redis server". The header's length is right and so is the body, yet Node.js gives no
# response for it but HPE_INVALID_STATUS, which looks like a broken connection.
. "$(dirname "$0")/lib.sh"
system bookworm rspamd=3.4-1 redis-server=5:7.0.15-* nodejs

start_redis
start_rspamd
message 1 >letter
redis-cli config set requirepass secret >/dev/null
redis-cli -a secret client kill type normal >/dev/null 2>&1
learn spam letter >/dev/null
sed -n 1p head | tr -d '\r' | sed 's/^/    /'
finish
