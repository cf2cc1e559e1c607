#!/usr/bin/env bash
# SpamAssassin 4.0.1, pyzor 1.1.2 (Debian 13)
#
# spamd tells a client that reported a letter (`Set: remote`) that it did, and its log says "spam reported
# to Pyzor", while pyzor has failed: SpamAssassin logs pyzor's exit status and looks no further. Without
# any network each letter is so reported. `DidSet: remote` says that pyzor is installed.
#
# Seen: here is no network; pyzor itself fails, and spamd has reported.
. "$(dirname "$0")/lib.sh"
system trixie spamd=4.0.1-* pyzor util-linux

useradd --create-home anna
message 1 >letter
chmod 644 letter
folder=$PWD
# not by start_spamd, whose spamd reports nothing
(become anna setsid spamd --allow-tell --max-children 1 --nouser-config \
  --listen 127.0.0.1:1783) >spamd.log 2>&1 </dev/null &
until_true perl -MIO::Socket::INET -e 'IO::Socket::INET->new("127.0.0.1:1783") or exit 1'

status=0
as anna pyzor report <"$folder/letter" >/dev/null 2>&1 || status=$?
seen 'pyzor without a network ends with' "$status" 1
seen 'spamd, told to report' "$(tell letter 'Message-class: spam' 'Set: remote')" \
  'SPAMD/1.1 0 EX_OK DidSet: remote'
seen 'its log has "reporter error: exit 1" so often' "$(grep -c 'pyzor: .* reporter error: exit 1' spamd.log)" 1
seen 'and "spam reported to Pyzor"' "$(grep -c 'spam reported to Pyzor' spamd.log)" 1
finish
