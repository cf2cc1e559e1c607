#!/usr/bin/env bash
# SpamAssassin 4.0.1 (Debian 13)
#
# Unless told otherwise, sa-learn finds out by itself what a file is: an mbox where ".mbox" occurs anywhere in its
# path, else one letter. It doesn't look inside. A letter in a folder with such a name is an mbox without a
# beginning, of which nothing is learned, and beside other letters nothing tells. The same letter is learned
# when the folder is named alone; the mbox in there, which Apple Mail calls Junk.mbox/mbox, is then one letter.
#
# Seen, of one letter and an mbox of three in Junk.mbox: with the folder two messages; with the letter none, and
# exit status 1; with the letter and another one elsewhere one, and exit status 0; with the mbox three.
. "$(dirname "$0")/lib.sh"
system trixie spamassassin=4.0.1-* util-linux

# examined PATH...: how many messages a fresh Bayes learns, and the exit status; and whether anything was complained of
examined() {
  local status=0
  as anna rm -rf .spamassassin
  as anna sa-learn -L --spam "$@" >output 2>errors || status=$?
  echo "$(sed 's/.* from \([0-9]*\) .*/\1/' output), exit status $status$([[ ! -s errors ]] || echo ', an error')"
}

useradd --create-home anna
as anna mkdir Junk.mbox letters
message 1 | as anna tee Junk.mbox/1.eml letters/1.eml >copied
message 2 | as anna tee letters/2.eml >copied
for number in 11 12 13; do
  echo 'From anna@example.org Mon Nov 23 10:00:00 2026'
  message "$number"
  echo
done | as anna tee Junk.mbox/mbox >copied

seen 'the folder' "$(examined Junk.mbox)" '2, exit status 0'
seen 'its letter' "$(examined Junk.mbox/1.eml)" '0, exit status 1'
seen 'its letter and another one' "$(examined Junk.mbox/1.eml letters/2.eml)" '1, exit status 0'
seen 'the same letters in a folder of another name' "$(examined letters/1.eml letters/2.eml)" '2, exit status 0'
seen 'its mbox' "$(examined Junk.mbox/mbox)" '3, exit status 0'
finish
