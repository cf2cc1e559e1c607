#!/usr/bin/env bash
# SpamAssassin 4.0.1 (Debian 13), Redis 8.0
#
# `sa-learn --clear` removes all that Bayes knows, and `sa-learn --restore` does so before it reads a backup, by
# their manual. With Bayes in Redis neither does: --clear removes nothing, and --restore adds the backup to what
# is there. A note on standard error says that the database is taken to be empty; the exit status is 0. Who
# restores a backup over the Bayes that it was made of has each message twice, and who clears Bayes to teach an
# archive anew is told that all of it is known.
#
# Seen: three messages are learned; a backup of them is restored: six, and each word counts double; cleared: six;
# taught again: none is new. With the default store the same steps give three, none, and three that are new.
. "$(dirname "$0")/lib.sh"
system trixie spamassassin=4.0.1-* redis-server=5:8.0.* util-linux

# how often all words count
words() { as anna sa-learn --backup | awk '$1 == "t" { sum += $2 } END { print sum + 0 }'; }
teach() { as anna sa-learn -L --spam letters 2>>log; }
# status of sa-learn ARGUMENT...
status() {
  local status=0
  as anna sa-learn "$@" >>log 2>&1 || status=$?
  echo "$status"
}

useradd --create-home anna
as anna mkdir letters
for number in 1 2 3; do message "$number" | as anna tee "letters/$number" >/dev/null; done
for store in redis default; do
  if [[ $store == redis ]]; then
    start_redis
    printf '%s\n' 'bayes_store_module Mail::SpamAssassin::BayesStore::Redis' \
      'bayes_sql_dsn server=127.0.0.1:6379;database=3' >/etc/spamassassin/store.cf
    restored=6 times=2 left=6 new=0
  else
    rm /etc/spamassassin/store.cf
    restored=3 times=1 left=none new=3
  fi
  echo "  $store"
  seen 'taught' "$(teach)" 'Learned tokens from 3 message(s) (3 message(s) examined)'
  before=$(words)
  as anna sh -c 'sa-learn --backup >backup'
  seen 'sa-learn --restore ends with' "$(status --restore backup)" 0
  seen 'messages' "$(bayes anna nspam)" "$restored"
  seen 'words count so many times as before' "$(($(words) / before))" "$times"
  seen 'sa-learn --clear ends with' "$(status --clear)" 0
  seen 'messages' "$(bayes anna nspam 2>>log || echo none)" "$left"
  seen 'taught again' "$(teach)" "Learned tokens from $new message(s) (3 message(s) examined)"
done
finish
