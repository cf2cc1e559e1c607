#!/usr/bin/env bash
# rspamd 4.1.5, Redis 8.0.6 (Debian forky)
#
# The package's statfiles say `spam = true` and `spam = false`. Who gives them names (`class = "spam"`), as
# further classes need it, has another classifier, on the same memory: of many letters that Bayes was wholly sure
# of it says 90 % from then on, always that number, and gives them a sixth of the score. Two names do that
# already. Spam that Bayes alone brought over the limit comes through. Of a letter with the words of both, where
# Bayes said nothing, it says 100 % spam, or ham, so that more weight is no cure.
#
# Seen, with the same 60 learned messages of each class and the same letters: 100 % and scores of 5.10 and
# -3.00, and nothing of the mixed one; with two names 90 %, 0.86, -0.50, and of the mixed one 100 %, 4.91; with a
# third class, still empty, the same.
. "$(dirname "$0")/lib.sh"
system forky rspamd=4.1.5-* redis-server=5:8.0.6-*

# letter NUMBER WORD...
letter() {
  local number=$1
  shift
  printf '%s\n' 'From: anna@example.org' 'To: bert@example.net' "Subject: $1" \
    "Message-ID: <$1.$number@example.org>" '' "$* number$number $1$number $2$number"
}
spam() { letter "$1" cheap pills without prescription buy now discount pharmacy overnight shipping offer; }
ham() { letter "$1" minutes from our meeting in the garden house about next summer holiday plans; }

judged() {
  curl -s --data-binary "@$1" http://127.0.0.1:11334/checkv2 |
    sed -n 's/.*"\(BAYES_[A-Z]*\)","score":\([-0-9.]*\),[^}]*"options":\["\([0-9.]*%\)"\].*/\1 \2 \3/p' |
    awk '{ printf "%s %.0f%% %.2f", $1, $3, $2 }'
}

# with_classes LINE...: rspamd from here on, with the memory that is there
with_classes() {
  if [[ ${rspamd-} ]]; then
    kill -KILL -- "-$rspamd"
    wait "$rspamd" 2>/dev/null || true
  fi
  printf '%s\n' 'min_learns = 50;' "$@" >/etc/rspamd/local.d/classifier-bayes.conf
  start_rspamd
}

# what was seen once would be told to come back later, and not be judged
echo 'enabled = false;' >/etc/rspamd/local.d/greylist.conf
start_redis
with_classes
for number in {1..60}; do
  for class in spam ham; do
    "$class" "$number" >letter
    learn "$class" letter 'Learn-Type: bulk' >/dev/null
  done
done
sleep 2
spam 100 >new-spam
ham 100 >new-ham
{ spam 200 && ham 200 | tail -n 1; } >mixed
seen 'learned of spam, of ham' "$(learned spam) $(learned ham)" '60 60'
seen "the package's classes: spam" "$(judged new-spam)" 'BAYES_SPAM 100% 5.10'
seen 'ham' "$(judged new-ham)" 'BAYES_HAM 100% -3.00'
seen 'of both' "$(judged mixed)" ''
names=('statfile { symbol = "BAYES_SPAM"; class = "spam"; }' 'statfile { symbol = "BAYES_HAM"; class = "ham"; }')
with_classes "${names[@]}"
seen 'the same two by name: spam' "$(judged new-spam)" 'BAYES_SPAM 90% 0.86'
seen 'ham' "$(judged new-ham)" 'BAYES_HAM 90% -0.50'
seen 'of both' "$(judged mixed)" 'BAYES_SPAM 100% 4.91'
with_classes "${names[@]}" 'statfile { symbol = "BAYES_NEWSLETTER"; class = "newsletter"; }'
seen 'and a third one: spam' "$(judged new-spam)" 'BAYES_SPAM 90% 0.86'
seen 'ham' "$(judged new-ham)" 'BAYES_HAM 90% -0.50'
with_classes
seen "the package's classes again: spam" "$(judged new-spam)" 'BAYES_SPAM 100% 5.10'
finish
