#!/usr/bin/env bash
# SpamAssassin 4.0.1 (Debian 13)
#
# With `bayes_learn_to_journal 1` what is learned goes to a journal first. Until that is synced Bayes
# doesn't know the message: each TELL of the same letter says that it was learned, and each one counts.
#
# Seen: three TELLs of one letter are all answered DidSet, and after a sync Bayes has three spam.
. "$(dirname "$0")/lib.sh"
system trixie spamd=4.0.1-* util-linux

useradd --create-home anna
echo 'bayes_learn_to_journal 1' >>/etc/spamassassin/local.cf
start_spamd anna
message 1 >letter
for number in 1 2 3; do
  seen "TELL $number" "$(tell letter 'Message-class: spam' 'Set: local')" 'SPAMD/1.1 0 EX_OK DidSet: local'
done
as anna sa-learn --sync >sync.log 2>&1
seen 'spam that Bayes has' "$(bayes anna nspam)" 3
finish
