#!/usr/bin/env bash
# rspamd 3.12.1, SpamAssassin 4.0.1, Dovecot 2.4.1 (Debian 13); Redis 8.0
#
# Dovecot may keep each letter compressed (`mail_compress_write_method`), under the same names in the same
# Maildir. rspamc posts such files as they are, and rspamd takes the compressed bytes for a message without a
# header and learns their "words": success. sa-learn unpacks gzip, and learns the bytes of zstd. The day on which
# Dovecot's setting changes, whoever learns its Junk folder each night goes on, and teaches noise.
#
# Seen: rspamd learns three letters in gzip, and learns them once more when they are posted as they were written;
# in zstd the same. sa-learn knows the three as they were written after those in gzip, and not after those in
# zstd.
. "$(dirname "$0")/lib.sh"
system trixie rspamd=3.12.1-* redis-server=5:8.0.* dovecot-core=1:2.4.1* spamassassin=4.0.1-* util-linux

useradd --create-home anna
start_redis
start_rspamd
for number in 1 2 3; do message "$number" >"letter.$number"; done
as anna mkdir letters
for number in 1 2 3; do as anna tee "letters/$number" <"letter.$number" >/dev/null; done

for method in gz zstd; do
  redis-cli flushall >/dev/null
  as anna rm -rf .spamassassin
  configure_dovecot 'mail_plugins {' 'mail_compress = yes' '}' "mail_compress_write_method = $method"
  dove anna 'mailbox create' "$method"
  for number in 1 2 3; do dove anna save -m "$method" <"letter.$number"; done
  folder=~anna/Maildir/.$method/new
  ids=$(dove anna 'fetch hdr.message-id' mailbox "$method" | grep -c '<letter')
  seen "$method: letters that Dovecot itself reads" "$ids" 3
  seen 'rspamc learns of them' "$(rspamc learn_spam "$folder" 2>>rspamc.log | grep -c '^success = true')" 3
  seen 'counted' "$(learned spam)" 3
  seen 'the letters as written are posted' \
    "$(for number in 1 2 3; do learn spam "letter.$number" 'Learn-Type: bulk'; echo; done | xargs)" '200 200 200'
  seen 'sa-learn examines' "$(as anna sa-learn -L --spam "$folder" | sed 's/.*(\([0-9]*\) message.*/\1/')" 3
  seen 'the letters as written are new to it' \
    "$(as anna sa-learn -L --spam letters | grep -o 'from [0-9]*')" "from $([[ $method == gz ]] && echo 0 || echo 3)"
done
finish
