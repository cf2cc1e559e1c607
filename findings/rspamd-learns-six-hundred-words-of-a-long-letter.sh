#!/usr/bin/env bash
# rspamd 3.12.1 (Debian 13), 4.1.5 as well; Redis 8.0
#
# Of a text rspamd takes the first 600 words, and of what follows the fewer the longer it is: of 600 more half, of
# 4,400 more two. Bayes neither learns nor judges by the others, and the answer is "success". A forwarded
# conversation, a digest or a newsletter is what its beginning is. `words_decay = 0;` in local.d/options.inc takes
# all words. By rspamd's manual the fuzzy hashes of long texts change with it, so that a shared storage such as
# rspamd.com's finds them no more.
#
# Seen: of letters of 500, 1,200 and 5,000 words, no two alike, 502, 904 and 604 entries are in Bayes; with
# `words_decay = 0` as many as there are words, and two.
. "$(dirname "$0")/lib.sh"
system trixie rspamd=3.12.1-* redis-server=5:8.0.*

# taught WORDS: the answer to a letter of so many words, no two alike, and how many entries Bayes then has
taught() {
  redis-cli flushall >/dev/null
  printf '%s\n' 'From: anna@example.org' 'To: bert@example.net' 'Subject: long' \
    'Message-ID: <long@example.org>' '' >letter
  awk -v words="$1" 'BEGIN {
    split("ba ce di fo gu ka le mi no pu", syllable, " ")
    for (i = 0; i < words; i++) {
      for (rest = i + 10000; rest; rest = int(rest / 10)) printf "%s", syllable[rest % 10 + 1]
      printf "%s", i % 8 == 7 ? "\n" : " "
    }
  }' >>letter
  echo "$(learn spam letter) $(redis-cli --scan --pattern 'RS_*' | wc -l)"
}

start_redis
start_rspamd
seen '500 words' "$(taught 500)" '200 502'
seen '1,200 words' "$(taught 1200)" '200 904'
seen '5,000 words' "$(taught 5000)" '200 604'
kill -KILL -- "-$rspamd"
wait "$rspamd" 2>/dev/null || true
configure_rspamd
echo 'words_decay = 0;' >>/etc/rspamd/local.d/options.inc
launch_rspamd
until_true curl -sf http://127.0.0.1:11334/ping
sleep 3
for words in 500 1200 5000; do
  seen "with words_decay = 0: $words words" "$(taught "$words")" "200 $((words + 2))"
done
finish
