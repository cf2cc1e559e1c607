#!/usr/bin/env bash
# SpamAssassin 4.0.1 (Debian 13)
#
# `sa-learn -f LIST` takes a list of `ham:file:PATH` and `spam:file:PATH`. It learns all spam of the list
# first and all ham after it, whatever the order: of a message that stands in it twice, ham wins, also
# where spam was the later word.
#
# Seen: a list with one letter as ham and then as spam leaves one ham and no spam.
. "$(dirname "$0")/lib.sh"
system trixie spamassassin=4.0.1-* util-linux

useradd --create-home anna
message 1 | as anna tee letter >letter
as anna sh -c 'printf "%s:file:$HOME/letter\n" ham spam >list'
seen 'sa-learn' "$(as anna sa-learn -L -f list)" 'Learned tokens from 2 message(s) (2 message(s) examined)'
seen 'spam that Bayes has' "$(bayes anna nspam)" 0
seen 'ham that Bayes has' "$(bayes anna nham)" 1
finish
