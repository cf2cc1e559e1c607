#!/usr/bin/env bash
# SpamAssassin 4.0.1 (Debian 13)
#
# Above 150,000 words Bayes lets those go whose latest letter is oldest, by itself unless `bayes_auto_expire` is off.
# A letter is as old as its Received says, also when it was learned a minute ago: of an archive that is taught
# today the older letters go at the next expiry. They stay counted, and known: taught once more none of them is
# learned. `sa-learn --forget` before that brings them back, and a higher `bayes_expiry_max_db_size` keeps
# them.
#
# Seen: fifty letters of November are learned, and sixteen of March; an expiry removes all words of the sixteen;
# taught again none is new, and no word comes back; forgotten and taught again all are.
. "$(dirname "$0")/lib.sh"
system trixie spamassassin=4.0.1-* util-linux

# letters FOLDER DATE NUMBER...: of 2,500 words each, no two of which are alike in any
letters() {
  local folder=$1 date=$2 number
  shift 2
  for number in "$@"; do
    {
      printf '%s\n' "Received: from mail.example.org by mx.example.net; $date" 'From: Anna <anna@example.org>' \
        'To: Bert <bert@example.net>' "Subject: letter $number" "Date: $date" "Message-ID: <$number@example.org>" ''
      awk -v from=$((number * 2500)) 'BEGIN {
        split("ba ce di fo gu ka le mi no pu", syllable, " ")
        for (i = 0; i < 2500; i++) {
          for (rest = from + i + 100000; rest; rest = int(rest / 10)) printf "%s", syllable[rest % 10 + 1]
          printf "%s", i % 8 == 7 ? "\n" : " "
        }
      }'
    } | as anna tee "$folder/$number" >/dev/null
  done
}

# teach CLASS FOLDER
teach() { as anna sa-learn -L "--$1" "$2" | grep -o 'from [0-9]*'; }

useradd --create-home anna
as anna mkdir march november
letters march 'Mon, 02 Mar 2026 10:00:00 +0000' {1..16}
letters november 'Mon, 23 Nov 2026 10:00:00 +0000' {17..66}
seen 'taught as ham: November' "$(teach ham november)" 'from 50'
seen 'taught as spam: March' "$(teach spam march)" 'from 16'
seen 'words' "$(($(bayes anna ntokens) / 1000)) thousand" '165 thousand'
seen 'an expiry removes' "$(as anna sa-learn --force-expire | grep -o '[0-9]* deleted')" '40000 deleted'
seen 'spam' "$(bayes anna nspam)" 16
seen 'words of spam alone' "$(as anna sa-learn --backup | awk '$1 == "t" && $2 > 0 && $3 == 0' | wc -l)" 0
seen 'taught once more: March' "$(teach spam march)" 'from 0'
seen 'words' "$(($(bayes anna ntokens) / 1000)) thousand" '125 thousand'
seen 'forgotten: March' "$(as anna sa-learn -L --forget march | grep -o 'from [0-9]*')" 'from 16'
seen 'taught' "$(teach spam march)" 'from 16'
seen 'words' "$(($(bayes anna ntokens) / 1000)) thousand" '165 thousand'
finish
