#!/usr/bin/env bash
# rspamd 3.4 (Debian 12), Redis 7.0
#
# The controller's `/fuzzydel` wants a flag, which picks the rule. The storage then deletes the hash
# whatever flag it has: who takes a message from one list takes it from the list that it is in. And where
# nobody listens for the storage, the status of the answer is an errno.
#
# Seen: a hash with flag 11 is there after /fuzzyadd, and gone after /fuzzydel with flag 13 (200). With a
# flag that no rule has 404; where nobody listens 111 (ECONNREFUSED), which curl calls unsupported (1).
. "$(dirname "$0")/lib.sh"
system bookworm rspamd=3.4-* redis-server=5:7.0.*

fuzzy_storage 1
cat >>/etc/rspamd/override.d/fuzzy_check.conf <<'EOF'
rule "nobody" {
  servers = "127.0.0.1:9";
  symbol = "NOBODY";
  read_only = no;
  fuzzy_map = { NOBODY { max_score = 10; flag = 15; } }
}
EOF
start_redis
start_rspamd
hashes() {
  sleep 2
  redis-cli --scan --pattern 'fuzzy*' | grep -cv '^fuzzy\(_\|local\)' || true
}
message 1 >letter
seen 'a flag that no rule has' "$(fuzzy add 99 letter)" 404
seen 'added with flag 11' "$(fuzzy add 11 letter)" 200
seen 'hashes' "$(hashes)" 1
seen 'deleted with flag 13' "$(fuzzy del 13 letter)" 200
seen 'hashes' "$(hashes)" 0
seen 'where nobody listens' "$(fuzzy add 15 letter)" '111 curl 1'
finish
