#!/usr/bin/env bash
# SpamAssassin 4.0.1 (Debian 13)
#
# sa-learn leaves out messages above 500 KB unless `--max-size 0` is given. In a folder or a list with
# other messages it says nothing of them and ends with 0.
#
# Seen: of a folder with a small and a large letter one is examined, exit status 0, nothing on standard
# error.
. "$(dirname "$0")/lib.sh"
system trixie spamassassin=4.0.1-* util-linux

useradd --create-home anna
message 1 >small
message 2 >large
for number in {1..1200}; do message 2 | tail -n 8; done >>large
as anna mkdir spam
for letter in small large; do as anna tee "spam/$letter" <"$letter" >copied; done
size=$(stat -c %s large)
seen 'the large one has more than 512,000 bytes' "$((size > 512000))" 1
status=0
as anna sa-learn -L --spam spam >output 2>errors || status=$?
seen 'sa-learn' "$(cat output)" 'Learned tokens from 1 message(s) (1 message(s) examined)'
seen 'its exit status' "$status" 0
seen 'bytes on standard error' "$(stat -c %s errors)" 0
seen 'with --max-size 0' "$(as anna sa-learn -L --max-size 0 --spam spam)" \
  'Learned tokens from 1 message(s) (2 message(s) examined)'
finish
