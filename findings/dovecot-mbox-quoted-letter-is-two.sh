#!/usr/bin/env bash
# Dovecot 2.4.1, SpamAssassin 4.0.1, bogofilter 1.2.5, procmail 3.24 (Debian 13)
#
# In an mbox a letter begins with a line "From ...", and a line of text that begins so is written ">From" by
# most programs. Dovecot writes it as it is, and notes the length of the letter in Content-Length. sa-learn and
# bogofilter don't look at that: a letter that quotes such a line, as a forwarded one may,
# is two to them, and what follows that line is learned as a letter of its own, by somebody else.
#
# Seen: Dovecot and formail count three letters. sa-learn counts four, and bogofilter five, because to it any
# line that begins with "From " is the beginning of a letter.
. "$(dirname "$0")/lib.sh"
system trixie dovecot-core=1:2.4.1* spamassassin=4.0.1-* bogofilter=1.2.5-* procmail=3.24*

useradd --create-home anna
configure_dovecot 'mail_driver = mbox' 'mail_path = ~/mail' 'mail_inbox_path = ~/mail/inbox'
as anna mkdir mail
dove anna 'mailbox create' Junk
message 1 | dove anna save -m Junk
{ message 2; printf '%s\n' '' 'From here on we walk, said Carl:' '' \
  'From carl@example.org Tue Nov 24 11:00:00 2026' 'Subject: the harbour' '' 'See you there.'; } |
  dove anna save -m Junk
message 3 | dove anna save -m Junk

seen 'Dovecot' "$(dove anna 'fetch uid' mailbox Junk | grep -c '^uid:')" 3
seen 'lines that begin with "From "' "$(grep -c '^From ' ~anna/mail/Junk)" 5
seen 'letters with a Content-Length' "$(grep -c '^Content-Length: [0-9]' ~anna/mail/Junk)" 3
seen 'formail' "$(as anna sh -c 'formail -s echo letter <mail/Junk' | grep -c letter)" 3
seen 'sa-learn' "$(as anna sa-learn -L --mbox --spam mail/Junk | sed 's/.*(\([0-9]*\) message.*/\1/')" 4
as anna bogofilter -M -s -I mail/Junk
seen 'bogofilter' "$(as anna bogoutil -w .bogofilter .MSG_COUNT | awk '/MSG_COUNT/ { print $2 }')" 5
finish
