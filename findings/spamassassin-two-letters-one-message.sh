#!/usr/bin/env bash
# SpamAssassin 4.0.1 (Debian 13)
#
# Bayes recognises a message by To, Date and body. The Message-ID, the sender and the subject play no
# part: two newsletters with the same To, Date and text are one message, and the second is not learned.
# One blank line more at the end makes the same letter another message.
#
# Seen: the same body from another sender, with another subject and Message-ID, is known already; the
# first letter with a blank line added is learned once more.
. "$(dirname "$0")/lib.sh"
system trixie spamd=4.0.1-* util-linux

useradd --create-home anna
start_spamd anna
message 1 >letter
sed -e 's/^From:.*/From: Carl <carl@example.com>/' -e 's/^Subject:.*/Subject: something else/' \
  -e 's/^Message-ID:.*/Message-ID: <other@example.com>/' letter >other
{ cat letter; echo; } >longer
seen 'a letter' "$(tell letter 'Message-class: ham' 'Set: local')" 'SPAMD/1.1 0 EX_OK DidSet: local'
seen 'another with its To, Date and body' "$(tell other 'Message-class: ham' 'Set: local')" 'SPAMD/1.1 0 EX_OK'
seen 'the letter and a blank line' "$(tell longer 'Message-class: ham' 'Set: local')" \
  'SPAMD/1.1 0 EX_OK DidSet: local'
seen 'messages that Bayes has' "$(bayes anna nham)" 2
finish
