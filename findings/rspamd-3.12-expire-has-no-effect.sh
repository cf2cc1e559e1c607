#!/usr/bin/env bash
# rspamd 3.12.1 (Debian 13), Redis 8.0; rspamd 4.1.5 differs
#
# `expire` in local.d/classifier-bayes.conf lets Bayes go of rare words, so that its Redis doesn't grow for ever.
# Where Redis' address stands in local.d/redis.conf, from where Bayes itself has it, the module that does so
# finds no Redis: no word gets a time to live, and no line of the log tells. It works when the address stands in
# local.d/classifier-bayes.conf as well. (4.1.5 works with redis.conf alone.)
#
# Seen: twelve letters of the same words and one of others are learned; after several rounds no rare word has a
# time to live. With the address in the second file each has 100 days.
. "$(dirname "$0")/lib.sh"
system trixie rspamd=3.12.1-* redis-server=5:8.0.*

# rare: whether words that came once have a time to live of 100 days, and whether some have none
rare() {
  local key days=0 none=0
  for key in $(redis-cli --scan --pattern 'RS_*'); do
    if [[ $(redis-cli hget "$key" S) != 1 ]]; then continue; fi
    case $(redis-cli ttl "$key") in
      -1) none=$((none + 1)) ;;
      8639* | 8640000) days=$((days + 1)) ;;
    esac
  done
  echo "$((days > 0)) $((none > 0))"
}

echo 'expire = 100d;' >/etc/rspamd/local.d/classifier-bayes.conf
# a round each two seconds instead of each minute
echo 'bayes_expiry { interval = 2; }' >/etc/rspamd/rspamd.conf.local
start_redis
start_rspamd
for number in {1..12}; do
  message 1 | sed "s/number/again $number/" >letter
  learn spam letter 'Learn-Type: bulk' >/dev/null
done
message 2 >letter
seen 'a rare letter' "$(learn spam letter)" 200
sleep 10
seen 'words that came once: some live 100 days, some for good' "$(rare)" '0 1'
seen 'lines about an expiry in the log' "$(grep -c 'finished expiry' /var/log/rspamd/rspamd.log)" 0
kill -KILL -- "-$rspamd"
wait "$rspamd" 2>/dev/null || true
echo 'servers = "127.0.0.1:6379";' >>/etc/rspamd/local.d/classifier-bayes.conf
start_rspamd
sleep 10
seen 'with the address in classifier-bayes.conf, too' "$(rare)" '1 0'
seen 'the log has such lines' "$(($(grep -c 'finished expiry' /var/log/rspamd/rspamd.log) > 0))" 1
finish
