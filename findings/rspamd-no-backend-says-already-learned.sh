#!/usr/bin/env bash
# rspamd 3.12.1 (Debian 13), no Redis configured
#
# Bayes without any server: a message that was never posted is answered 404 "has been already learned
# as spam, ignore it". Only /stat tells: its list of statfiles is empty.
. "$(dirname "$0")/lib.sh"
system trixie rspamd=3.12.1-*

printf 'disable_hyperscan = true;\ndns { timeout = 0.1s; retransmits = 1; }\n' \
  >/etc/rspamd/local.d/options.inc
mkdir -p /run/rspamd && chown _rspamd: /run/rspamd
launch_rspamd
until_true curl -sf http://127.0.0.1:11334/ping
sleep 3
message 1 >letter
seen 'posted for the first time' "$(learn spam letter)" 404
sed 's/^/    /' reason
seen 'because' "$(grep -c 'has been already learned as spam' reason)" 1
seen '/stat' "$(curl -s http://127.0.0.1:11334/stat | grep -o '"statfiles":\[\]')" '"statfiles":[]'
finish
