#!/usr/bin/env bash
# rspamd 3.12.1 (Debian 13), 4.1.5 as well; Redis 8.0
#
# With `autolearn = true` rspamd learns a letter while it judges it. To know it again it looks at the results of SPF
# and DKIM, too: then its own, and when the letter is posted to be learned those in Authentication-Results, which
# its module milter_headers adds to each letter. So the copy in the user's folder is another letter to it: what it
# learned as ham and a user calls spam is spam from then on, and stays ham. Other headers that are added change
# nothing. Teach it either by itself or by its users where such a header is added.
#
# Seen: two letters are learned as ham by themselves. The one with the Authentication-Results that rspamd gives for
# it is then learned as spam: 1 spam, 2 ham. The other one, with other headers added, is taken from ham: 2 spam,
# 1 ham.
. "$(dirname "$0")/lib.sh"
system trixie rspamd=3.12.1-* redis-server=5:8.0.* jq

# judge FILE: as the mail server has it judged; the Authentication-Results that rspamd adds
judge() {
  curl -s --data-binary "@$1" -H 'Queue-Id: 1' -H 'IP: 192.0.2.1' -H 'From: anna@example.org' \
    -H 'Rcpt: bert@example.net' http://127.0.0.1:11333/checkv2 |
    jq -r '.milter.add_headers["Authentication-Results"].value'
}

echo 'autolearn = true;' >/etc/rspamd/local.d/classifier-bayes.conf
echo 'use = ["authentication-results"];' >/etc/rspamd/local.d/milter_headers.conf
# the score below 0 that autolearn wants for ham
echo 'FRIEND { type = "from"; map = "/etc/rspamd/friends"; score = -10; }' >/etc/rspamd/local.d/multimap.conf
echo anna@example.org >/etc/rspamd/friends
start_redis
start_rspamd
for number in 1 2; do
  message "$number" >letter
  results=$(judge letter)
  { printf 'Authentication-Results: %s\n' "$results"; cat letter; } >"with-results.$number"
  { printf 'X-Spam-Status: No\nDelivered-To: bert@example.net\n'; cat letter; } >"without.$number"
done
sleep 2
seen 'what rspamd adds for the second letter says of SPF' "$(grep -o 'spf=[a-z]*' with-results.2)" spf=temperror
seen 'learned by itself as spam, as ham' "$(learned spam) $(learned ham)" '0 2'
seen 'the first letter, with Authentication-Results, as spam' "$(learn spam with-results.1 'Learn-Type: bulk')" 200
seen 'learned as spam, as ham' "$(learned spam) $(learned ham)" '1 2'
seen 'the second letter, with other headers, as spam' "$(learn spam without.2 'Learn-Type: bulk')" 200
seen 'learned as spam, as ham' "$(learned spam) $(learned ham)" '2 1'
finish
