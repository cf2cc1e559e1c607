#!/usr/bin/env bash
# SpamAssassin 4.0.1 (Debian 13)
#
# spamd documents the classes `spam` and `ham`. It compares with `spam`, letter by letter, and takes
# everything else for ham: a client that writes `Spam`, or forgets the header, teaches the opposite and is
# told that it was done.
#
# Seen: three TELLs, as Spam, as SPAM and without a class, are answered DidSet; Bayes then has no spam
# and three ham.
. "$(dirname "$0")/lib.sh"
system trixie spamd=4.0.1-* util-linux

useradd --create-home anna
start_spamd anna
for number in 1 2 3; do message "$number" >"letter$number"; done
seen 'Message-class: Spam' "$(tell letter1 'Message-class: Spam' 'Set: local')" 'SPAMD/1.1 0 EX_OK DidSet: local'
seen 'Message-class: SPAM' "$(tell letter2 'Message-class: SPAM' 'Set: local')" 'SPAMD/1.1 0 EX_OK DidSet: local'
seen 'no class' "$(tell letter3 'Set: local')" 'SPAMD/1.1 0 EX_OK DidSet: local'
seen 'spam that Bayes has' "$(bayes anna nspam)" 0
seen 'ham that Bayes has' "$(bayes anna nham)" 3
finish
