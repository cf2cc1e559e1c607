#!/usr/bin/env bash
# rspamd 3.12.1 (Debian 13), 3.4 as well; Redis 8.0; rspamd 4.1.5 differs
#
# rspamd knows a message that it has learned by its tokens, in their order. The sites that a letter links to are
# such tokens, in the order of a table of Lua (`filter_specific_urls` in lua_util.lua), which is another one some
# letters later. Then it is a new letter: posted again it is learned again and counts twice, and one whose verdict
# is turned is learned in the new class and stays in the old one. `classify_urls = false` in local.d/options.inc
# ends that, and Bayes then learns no sites. (4.1.5 knows each.)
#
# Seen: of 100 letters, posted as spam in two rounds, 100 are counted, and after a third one, as ham, none is left
# as spam. Of 100 with links to three sites about 180 are counted, and about 110 left; of such with
# `classify_urls = false` again 100 and none.
. "$(dirname "$0")/lib.sh"
system trixie rspamd=3.12.1-* redis-server=5:8.0.*

# rounds FIRST [DOMAIN...]: a hundred letters, with links to a site in each of these, posted as spam, again, and as
# ham; prints how many more count as spam after the second round and after the third
rounds() {
  local number domain before twice
  before=$(learned spam)
  for number in $(seq "$1" $(($1 + 99))); do
    message "$number"
    for domain in "${@:2}"; do echo "See http://$number.$domain for more of it."; done
  done | csplit -s -z -n 3 -f letter. - '/^From: /' '{*}'
  post spam
  post spam
  twice=$(learned spam)
  post ham
  echo "$((twice - before)) $(($(learned spam) - before))"
}

post() {
  local letter
  for letter in letter.*; do learn "$1" "$letter" 'Learn-Type: bulk' >/dev/null; done
}

# within LEAST MOST VALUE
within() {
  if (($1 <= $3 && $3 <= $2)); then echo yes; else echo "no, $3"; fi
}

start_redis
start_rspamd
sites=(example.com example.net example.org)
read -r twice left <<<"$(rounds 1000)"
echo "    without a link: $twice counted, $left left"
seen 'without a link a hundred are counted' "$(within 98 104 "$twice")" yes
seen 'and none is left' "$(within -2 4 "$left")" yes
read -r twice left <<<"$(rounds 2000 "${sites[@]}")"
echo "    with links: $twice counted, $left left"
seen 'with links many more are counted' "$(within 120 200 "$twice")" yes
seen 'and many are left' "$(within 20 200 "$left")" yes
kill "$rspamd"
wait "$rspamd" || true
mkdir -p /etc/rspamd/override.d
echo 'classify_urls = false;' >/etc/rspamd/override.d/options.inc
start_rspamd
read -r twice left <<<"$(rounds 3000 "${sites[@]}")"
echo "    with links and classify_urls = false: $twice counted, $left left"
seen 'with links and classify_urls = false a hundred are counted' "$(within 98 104 "$twice")" yes
seen 'and none is left' "$(within -2 4 "$left")" yes
finish
