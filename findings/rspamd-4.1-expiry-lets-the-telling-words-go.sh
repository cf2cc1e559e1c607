#!/usr/bin/env bash
# rspamd 4.1.5, Redis 8.0.6 (Debian forky); rspamd 3.12.1 (Debian 13) differs
#
# With `expire` in local.d/classifier-bayes.conf rspamd lets rare words go after that time. It keeps for good those
# that became frequent and tell spam from ham, because more than three quarters of them were of one class, and
# lets those go after ten days that come as often in one class as in the other. 4.1.5 takes for such a one each
# word that came in both before it was frequent, unless 99 % were of one class: ten days later it is gone, however
# well it tells. Without `expire` all words stay.
#
# Seen: words come in three letters of spam, then in one of ham, then in thirty-seven more of spam. 3.12.1 keeps
# them for good, and 4.1.5 for ten days.
. "$(dirname "$0")/lib.sh"
beside trixie rspamd=3.12.1-*
system forky rspamd=4.1.5-* redis-server=5:8.0.6-*

# pills CLASS NUMBER...: teaches so many letters, and lets some rounds of the expiry pass
pills() {
  local class=$1 number
  shift
  for number in "$@"; do
    printf '%s\n' 'From: anna@example.org' 'To: bert@example.net' 'Subject: pills' \
      "Message-ID: <p$number@example.org>" '' \
      'cheap pills without prescription buy now discount pharmacy overnight shipping offer' "p$number" >letter
    learn "$class" letter 'Learn-Type: bulk' >>learned
  done
  sleep 8
}

# lives SPAM [HAM]: how long words live that were counted so often
lives() {
  local key
  for key in $(redis-cli --scan --pattern 'RS_*'); do
    if [[ $(redis-cli hmget "$key" S H | xargs) == "$*" ]]; then redis-cli ttl "$key"; fi
  done | awk '{ print ($1 < 0 ? "for good" : int($1 / 86400 + 0.5) " days") }' | sort -u | xargs
}

start_redis
for root in /beside ''; do
  version=$(chroot "${root:-/}" rspamd --version | grep -o '[0-9][0-9.]*' | head -n 1)
  if [[ $root ]]; then life='for good'; else life='10 days'; fi
  redis-cli flushall >/dev/null
  printf '%s\n' 'expire = 100d;' 'servers = "127.0.0.1:6379";' >"$root/etc/rspamd/local.d/classifier-bayes.conf"
  # a round each two seconds instead of each minute
  echo 'bayes_expiry { interval = 2; }' >"$root/etc/rspamd/rspamd.conf.local"
  start_rspamd "$root"
  # other words, so that three times is rare
  for number in {1..30}; do
    message 1 | sed "s/number/again $number/" >letter
    learn spam letter 'Learn-Type: bulk' >>learned
  done
  pills spam 1 2 3
  seen "$version: words of three letters of spam live" "$(lives 3)" '100 days'
  pills ham 4
  pills spam {5..41}
  seen 'of 40 letters of spam and one of ham' "$(lives 40 1)" "$life"
  kill -KILL -- "-$rspamd"
  wait "$rspamd" 2>/dev/null || true
done
seen 'answers other than 200' "$(grep -cv '^\(200\)*$' learned || true)" 0
finish
