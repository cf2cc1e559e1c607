#!/usr/bin/env bash
# The recipe of docs/relearn.md for a mailbox over IMAP, as it is printed, against a private Dovecot and a
# private rspamd: what is taught, and that the mailbox stays as it was.
#
#   test/service/mbsync.sh     as root on Debian, after `npm ci`; takes half a minute
#
# It has processes, mounts and a network of its own, and a /var/tmp and /root that end with it. CI does not run it
# yet. The last line is "N passed, N failed".
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=test/service/shell.sh
. test/service/shell.sh
# shellcheck source=test/service/blocks.sh
. test/service/blocks.sh

readonly HAM=30

# A mailbox with an INBOX, a folder of kept mail, and spam in Junk.
fill_mailbox() {
  local folder
  mkdir -p "$scratch"/mail/{,.Kept/,.Junk/}{cur,new,tmp} "$scratch/made" &&
    node --input-type=module -e "
      import { writeFileSync } from 'node:fs';
      const { makeMessages } = await import('$PWD/dist/lab/messages.js');
      for (const verdict of ['spam', 'ham'])
        for (const { name, raw } of makeMessages(verdict, $HAM))
          writeFileSync('$scratch/made/' + verdict + name, raw);
    " || return 1
  cp "$scratch"/made/spam* "$scratch/mail/.Junk/cur"
  cp "$scratch"/made/ham* "$scratch/mail/cur"
  for folder in "$scratch"/mail/cur/ham*[02468].eml; do
    mv "$folder" "$scratch/mail/.Kept/cur/${folder##*/}:2,S"
  done
  chown -R nobody "$scratch/mail"
}

start_dovecot() {
  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout "$scratch/key" \
    -out "$scratch/cert" 2>/dev/null
  echo "anna:{PLAIN}secret" >"$scratch/users"
  echo secret >~/anna.password
  cat >"$scratch/dovecot.conf" <<END
protocols = imap
listen = 127.0.0.1
base_dir = $scratch/dovecot
log_path = $scratch/dovecot.log
ssl = required
ssl_cert = <$scratch/cert
ssl_key = <$scratch/key
mail_location = maildir:$scratch/mail
first_valid_uid = 1
passdb {
  driver = passwd-file
  args = $scratch/users
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home=$scratch
}
END
  dovecot -c "$scratch/dovecot.conf" && within 10 listens 993
}

listens() {
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

kopano-learnd() {
  node dist/bundle/bin/kopano-learnd.mjs "$@"
}

mail_of_server() {
  (cd "$scratch/mail" && find . -path '*/cur/*' -o -path '*/new/*' | sort)
}

# The test's server is here, and its certificate is its own.
recipe() {
  block . mbsync | sed -e 's/^Host .*/Host localhost/' -e "s|^SSLType.*|&\nCertificateFile $scratch/cert|"
}

follow_recipe() {
  mail_of_server >"$scratch/before"
  # shellcheck disable=SC1090
  (set -e && . <(recipe)) >"$scratch/printed" 2>&1 || { cat "$scratch/printed" && return 1; }
}

all_ham_is_taught() {
  grep -E "^learned +0 +$HAM\b" "$scratch/printed" || { cat "$scratch/printed" && return 1; }
}

mailbox_is_as_before() {
  mail_of_server | diff "$scratch/before" -
}

nothing_is_left() {
  [[ ! -e /var/tmp/anna ]]
}

run_all() {
  mount -t tmpfs tmpfs /var/tmp && mount -t tmpfs tmpfs /root || exit 1
  test_that 'a mailbox with kept mail and a junk folder is served by IMAP' fill_mailbox
  test_that 'Dovecot runs' start_dovecot
  test_that 'rspamd runs' start_private_rspamd
  test_that 'the recipe works as it is printed' follow_recipe
  test_that 'all of its ham was taught, and nothing of Junk' all_ham_is_taught
  test_that 'the mailbox is as it was' mailbox_is_as_before
  test_that 'no mail is left on the disk' nothing_is_left
}

if [[ ${1-} != inside ]]; then
  install_missing mbsync:isync dovecot:dovecot-imapd openssl rspamd redis-server
  node scripts/bundle.mjs >/dev/null || exit 1
fi
apart "$@"
