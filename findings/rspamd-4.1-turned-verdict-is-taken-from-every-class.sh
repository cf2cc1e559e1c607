#!/usr/bin/env bash
# rspamd 4.1.5, Redis 8.0.6 (Debian forky)
#
# With three classes, a letter that goes from spam to ham is taken from the count of the third class as
# well, in which it never was.
#
# Seen: three newsletters are learned, and counted; one letter goes from spam to ham, and two
# newsletters are counted.
. "$(dirname "$0")/lib.sh"
system forky rspamd=4.1.5-* redis-server=5:8.0.6-*

cat >/etc/rspamd/local.d/classifier-bayes.conf <<'EOF'
statfile { symbol = "BAYES_SPAM"; class = "spam"; }
statfile { symbol = "BAYES_HAM"; class = "ham"; }
statfile { symbol = "BAYES_NEWSLETTER"; class = "newsletter"; }
EOF
start_redis
start_rspamd
counts() { echo "$(learned spam) $(learned ham) $(learned newsletter)"; }
for number in 1 2 3; do
  message $number >letter
  learn class letter 'Class: newsletter' 'Learn-Type: bulk' >/dev/null
done
message 4 >letter
learn spam letter 'Learn-Type: bulk' >/dev/null
seen 'spam, ham, newsletters' "$(counts)" '1 0 3'
learn ham letter 'Learn-Type: bulk' >/dev/null
seen 'after the letter went from spam to ham' "$(counts)" '0 1 2'
finish
