#!/usr/bin/env bash
# rspamd 3.12.1 (Debian 13), 4.1.5 as well; Dovecot 2.4.1, Redis 8.0
#
# `rspamc learn_spam FOLDER` posts each file of a folder and of the folders in it whose name doesn't begin with a
# dot. In a Maildir of Dovecot's that are Dovecot's own lists as well, which rspamd learns as messages, and
# letters that are marked as deleted. And as Dovecot names each folder but the inbox with a dot,
# `rspamc learn_ham ~/Maildir` learns the inbox and those lists, and leaves out the rest of the mailbox.
#
# Seen: of a Junk folder with four letters, one of them deleted, seven messages are learned as spam. Of a Maildir
# with a letter in the inbox and three in Friends five are learned as ham: one letter and four lists.
. "$(dirname "$0")/lib.sh"
system trixie rspamd=3.12.1-* redis-server=5:8.0.* dovecot-core=1:2.4.1* util-linux

# teach CLASS FOLDER: names of what was learned, letters as one word
teach() {
  rspamc -h 127.0.0.1:11334 "learn_$1" "$2" 2>>rspamc.log |
    awk '/^Results for file:/ { n = split($4, path, "/") } /^success = true/ { print path[n] }' |
    sed 's/^[0-9]*\.M.*/letter/' | sort | uniq -c | xargs
}

useradd --create-home anna
configure_dovecot
for folder in Junk Friends; do dove anna 'mailbox create' "$folder"; done
for number in 1 2 3 4; do message "$number" | dove anna save -m Junk; done
message 5 | dove anna save -m INBOX
for number in 6 7 8; do message "$number" | dove anna save -m Friends; done
dove anna 'flags add' '\Deleted' mailbox Junk uid 4
start_redis
start_rspamd

seen 'Junk as spam' "$(teach spam ~anna/Maildir/.Junk)" \
  '1 dovecot-uidlist 1 dovecot.index.cache 1 dovecot.index.log 4 letter'
seen 'learned as spam' "$(learned spam)" 7
seen 'Maildir as ham' "$(teach ham ~anna/Maildir)" \
  '1 dovecot-uidlist 1 dovecot.index.cache 1 dovecot.index.log 1 dovecot.list.index.log 1 letter'
seen 'learned as ham' "$(learned ham)" 5
finish
