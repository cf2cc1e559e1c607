#!/usr/bin/env bash
# rspamd 3.12.1 (Debian 13), Redis 8.0
#
# rspamd looks up whether it knows a message, and notes later that it does. Of eight posts of one
# message at the same time more than one is answered 200 and counted; one after the other only the
# first one is.
. "$(dirname "$0")/lib.sh"
system trixie rspamd=3.12.1-* redis-server=5:8.0.*

post() {
  curl -s -o /dev/null --data-binary "@$1" -H 'Content-Type:' http://127.0.0.1:11334/learnspam
}

start_redis
start_rspamd
message 1 >first
for _ in {1..8}; do post first; done
seen 'eight posts, one after the other: counted' "$(learned spam)" 1
most=0
for number in {2..11}; do
  message "$number" >letter
  before=$(learned spam)
  posts=()
  for _ in {1..8}; do
    post letter &
    posts+=($!)
  done
  wait "${posts[@]}"
  counted=$(($(learned spam) - before))
  printf '    letter %s, eight posts at the same time: counted %s\n' "$number" "$counted"
  ((counted <= most)) || most=$counted
done
seen 'at the same time some letter is counted more than once' "$( ((most > 1)) && echo yes || echo no)" yes
finish
