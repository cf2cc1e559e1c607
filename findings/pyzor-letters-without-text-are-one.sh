#!/usr/bin/env bash
# pyzor 1.1.2 (Debian 13)
#
# pyzor knows a letter by a digest of its text, without the lines that are shorter than eight characters.
# Where nothing is left it takes the digest of nothing, and reports and finds that like any other: all
# letters that are a PDF alone, a short "See you / at noon", and no letter at all are one letter. Who
# reports one of them as spam, as SpamAssassin does for its users, reports the others.
#
# Seen: with a pyzord of its own, Anna's invoice is reported, and Carl's prescription is known.
. "$(dirname "$0")/lib.sh"
system trixie pyzor=1:1.1.* python3-gdbm

# attachment SENDER NAME TEXT
attachment() {
  printf '%s\n' "From: $1@example.org" 'To: Bert <bert@example.net>' "Subject: $2" 'MIME-Version: 1.0' \
    "Message-ID: <$2@example.org>" 'Content-Type: multipart/mixed; boundary="="' '' '--=' \
    "Content-Type: application/pdf; name=\"$2.pdf\"" 'Content-Transfer-Encoding: base64' '' \
    "$(base64 <<<"$3")" '--=--'
}

# known FILE: how often pyzord was told of it
known() {
  pyzor --homedir "$PWD/pyzor" check <"$1" | cut -f 3
}

attachment anna invoice 'Anna wants 100 euros for her pictures' >invoice
attachment carl prescription 'Carl needs a pair of glasses' >prescription
printf '%s\n' 'From: dora@example.org' 'Subject: lunch' '' 'See you' 'at noon' >lunch
message 1 >letter
: >nothing
mkdir pyzor
echo '127.0.0.1:24441' >pyzor/servers
printf '%s : anonymous : allow\n' ping report check >pyzor/pyzord.access
setsid pyzord --homedir "$PWD/pyzor" -e gdbm --dsn "$PWD/reported" -a 127.0.0.1 -p 24441 \
  >pyzord.log 2>&1 </dev/null &
until_true pyzor --homedir "$PWD/pyzor" ping

seen 'the prescription was reported so often' "$(known prescription)" 0
pyzor --homedir "$PWD/pyzor" report <invoice >/dev/null
seen 'after the invoice was reported: the prescription' "$(known prescription)" 1
seen 'the lunch' "$(known lunch)" 1
seen 'no letter at all' "$(known nothing)" 1
seen 'a letter with text' "$(known letter)" 0
finish
