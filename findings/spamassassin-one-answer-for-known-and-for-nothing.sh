#!/usr/bin/env bash
# SpamAssassin 4.0.1 (Debian 13)
#
# spamd answers TELL with `EX_OK` and no `DidSet` when it knows a message already. It answers with the
# same bytes when it could learn nothing at all: here because it runs as root and the request names no
# user, so that it turns to nobody, who has no home. What a client takes for "learned before" can so mean
# that nothing was ever learned.
#
# Seen: the first TELL to a spamd of root and the second TELL to a healthy one are answered alike.
. "$(dirname "$0")/lib.sh"
system trixie spamd=4.0.1-* util-linux

useradd --create-home anna
message 1 >letter
start_spamd root
seen 'a spamd of root, the first TELL' "$(tell letter 'Message-class: spam' 'Set: local')" 'SPAMD/1.1 0 EX_OK'
kill "$spamd"
until_true bash -c "! kill -0 $spamd"
start_spamd anna
seen "a spamd of anna's, the first TELL" "$(tell letter 'Message-class: spam' 'Set: local')" \
  'SPAMD/1.1 0 EX_OK DidSet: local'
seen 'the second' "$(tell letter 'Message-class: spam' 'Set: local')" 'SPAMD/1.1 0 EX_OK'
finish
