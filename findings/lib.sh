# shellcheck shell=bash
# What the findings share; each NAME.sh sources it, as root on Debian. A finding says
#
#   system SUITE PACKAGE[=VERSION]...   from here on it runs in that Debian, made by debootstrap in a
#                                       folder for temporary files, with processes, mounts and a
#                                       network (loopback) of its own; all of it goes at the end
#   beside SUITE PACKAGE[=VERSION]...   before `system`: another Debian, which is in the folder /beside
#   start_redis [ARGUMENT...]           Redis on 127.0.0.1:6379, which keeps nothing
#   start_rspamd [FOLDER]               rspamd as the package configures it, and local.d; that of FOLDER
#   fuzzy_storage SECONDS               before start_rspamd: a fuzzy storage in Redis, which writes what it
#                                       was told after so long; its rule has SPAM (11) and HAM (13)
#   fuzzy add|del FLAG FILE             adds the hashes of a message, or deletes them; prints the status
#   learn CLASS FILE [HEADER...]        posts to the controller; prints the status; the reason and the
#                                       body of the answer are in the files reason and body
#   message NUMBER                      a letter of natural words, a different one for each number
#   learned CLASS                       how many messages of spam or ham rspamd has counted, by Redis
#   start_spamd USER [ARGUMENT...]      SpamAssassin's spamd on 127.0.0.1:1783, without network tests, run
#                                       as USER; `--allow-tell` is given
#   tell FILE HEADER...                 teaches spamd a message; prints its answer on one line
#   configure_dovecot [LINE...]         Dovecot keeps mail in ~/Maildir, unless a line says otherwise
#   dove USER COMMAND ARGUMENT...       a command of doveadm (one word of the shell) with USER's mail
#   as USER COMMAND...                  runs a command as USER, in USER's home
#   bayes USER COUNT                    a count of USER's Bayes: nspam, nham, ntokens
#   seen WHAT VALUE WANTED              one result, which must be as it was when it was found
#   finish                              says whether all were; the exit status is 1 if one was not
#
# MIRROR names another mirror of Debian. SYSTEMS is a folder in which bare Debians are kept for the
# next finding. A version that the mirror has no more can't be tried, which is exit status 2.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8

finding=$(basename "$0")

system() {
  case ${STAGE:-outside} in
    outside) outside ;;
    install) install_system "$@" ;;
    inside) go_inside ;;
  esac
}

outside() {
  local folder status=0
  if [[ $(id -u) != 0 ]]; then echo 'needs root' >&2; exit 2; fi
  if ! command -v debootstrap >/dev/null; then echo 'needs debootstrap' >&2; exit 2; fi
  folder=$(mktemp -d)
  chmod 755 "$folder"
  # shellcheck disable=SC2064
  trap "rm -rf --one-file-system '$folder'" EXIT
  # its processes and mounts end with the first of them
  STAGE=install FINDING_FOLDER=$folder unshare --mount --pid --fork --kill-child --mount-proc \
    bash "$0" </dev/null || status=$?
  exit "$status"
}

install_system() {
  local root=$FINDING_FOLDER/root
  install_into "$root" "$@" iproute2 curl
  if ((${#other[@]} > 0)); then install_into "$root/beside" "${other[@]}"; fi
  mkdir "$root/finding"
  cp "$0" "$(dirname "$0")/lib.sh" "$root/finding"
  exec unshare --net chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
    STAGE=inside bash "/finding/$finding"
}

other=()

beside() {
  other=("$@")
}

# install_into FOLDER SUITE PACKAGE...
install_into() {
  local root=$1 suite=$2 bare=${SYSTEMS:-$FINDING_FOLDER}/$2 layer=$FINDING_FOLDER/layer-$2
  shift 2
  echo "$finding: Debian $suite, $*"
  [[ -e $bare ]] || quietly make_bare "$suite" "$bare"
  mkdir -p "$root" "$layer/above" "$layer/work"
  mount -t overlay overlay -o "lowerdir=$bare,upperdir=$layer/above,workdir=$layer/work" "$root"
  mount -t proc proc "$root/proc"
  if ! quietly chroot "$root" apt-get -qq -y --no-install-recommends install "$@"; then
    echo "$finding: can't be tried with these versions" >&2
    exit 2
  fi
  printf '127.0.0.1 localhost\n' >"$root/etc/hosts"
}

make_bare() {
  local suite=$1 bare=$2 recipe=/usr/share/debootstrap/scripts/$1
  # an older debootstrap doesn't know the newest suites by name
  if [[ ! -e $recipe ]]; then recipe=${recipe%/*}/sid; fi
  debootstrap --variant=minbase "$suite" "$bare.part" "${MIRROR:-}" "$recipe" &&
    # so that no service starts
    printf '#!/bin/sh\nexit 101\n' >"$bare.part/usr/sbin/policy-rc.d" &&
    chmod 755 "$bare.part/usr/sbin/policy-rc.d" && mv "$bare.part" "$bare"
}

quietly() {
  local output
  if output=$("$@" 2>&1); then return 0; fi
  printf '%s\n' "$output" | tail -n 20 >&2
  return 2
}

go_inside() {
  local folder
  ip link set lo up
  folder=$(mktemp -d)
  chmod 755 "$folder"
  cd "$folder"
}

# --- servers

start_redis() {
  setsid redis-server --port 6379 --bind 127.0.0.1 --save '' "$@" >redis.log 2>&1 </dev/null &
  until_true redis-cli ping
}

# It goes on loading scripts into Redis for some time after it answers first.
start_rspamd() {
  configure_rspamd "$@"
  launch_rspamd "$@"
  until_true curl -sf http://127.0.0.1:11334/ping
  sleep 3
}

configure_rspamd() {
  local root=${1-}
  printf 'servers = "127.0.0.1:6379";\n' >"$root/etc/rspamd/local.d/redis.conf"
  printf 'disable_hyperscan = true;\ndns { timeout = 0.1s; retransmits = 1; }\n' \
    >"$root/etc/rspamd/local.d/options.inc"
  mkdir -p "$root/run/rspamd" && chroot "${root:-/}" chown _rspamd: /run/rspamd
}

fuzzy_storage() {
  mkdir -p /etc/rspamd/override.d
  cat >/etc/rspamd/local.d/worker-fuzzy.inc <<EOF
bind_socket = "127.0.0.1:11335";
count = 1;
backend = "redis";
servers = "127.0.0.1:6379";
sync = ${1}s;
allow_update = ["127.0.0.1"];
EOF
  cat >/etc/rspamd/override.d/fuzzy_check.conf <<'EOF'
rule "local" {
  servers = "127.0.0.1:11335";
  symbol = "FUZZY";
  read_only = no;
  fuzzy_map = { SPAM { max_score = 10; flag = 11; } HAM { max_score = 10; flag = 13; } }
}
EOF
}

fuzzy() {
  curl -s -o body -w '%{http_code}' --data-binary "@$3" -H "Flag: $2" -H 'Weight: 1' \
    "http://127.0.0.1:11334/fuzzy$1" || echo " curl $?"
}

launch_rspamd() {
  setsid chroot "${1:-/}" rspamd --no-fork --user=_rspamd --group=_rspamd >rspamd.log 2>&1 </dev/null &
  # shellcheck disable=SC2034
  rspamd=$!
}

start_spamd() {
  local user=$1
  shift
  (become "$user" setsid spamd --local --allow-tell --max-children 1 --nouser-config \
    --listen 127.0.0.1:1783 "$@") >spamd.log 2>&1 </dev/null &
  # shellcheck disable=SC2034
  spamd=$!
  until_true perl -MIO::Socket::INET -e 'IO::Socket::INET->new("127.0.0.1:1783") or exit 1'
}

configure_dovecot() {
  printf '%s\n' 'dovecot_config_version = 2.4.1' 'dovecot_storage_version = 2.4.0' 'log_path = /dev/stderr' \
    'mail_home = /home/%{user}' 'mail_driver = maildir' 'mail_path = ~/Maildir' \
    'namespace inbox {' 'inbox = yes' '}' "$@" >/etc/dovecot/dovecot.conf
}

dove() {
  local user=$1 command=$2
  shift 2
  # shellcheck disable=SC2086
  USER=$user as "$user" doveadm $command --no-userdb-lookup "$@" 2>>dovecot.log
}

as() {
  (become "$@")
}

# the shell itself turns into the command
become() {
  local user=$1
  shift
  HOME=$(getent passwd "$user" | cut -d: -f6)
  export HOME
  cd
  exec setpriv --reuid "$user" --regid "$user" --init-groups "$@"
}

tell() {
  perl -MIO::Socket::INET -e '
    my ($file, @headers) = @ARGV;
    open(my $message, "<", $file) or die; local $/; my $body = <$message>;
    my $spamd = IO::Socket::INET->new("127.0.0.1:1783") or die;
    print $spamd join("\r\n", "TELL SPAMC/1.5", @headers, "Content-length: " . length $body, "", $body);
    $spamd->shutdown(1);
    my $answer = <$spamd>; $answer =~ s/\s+/ /g; $answer =~ s/ $//; print $answer;
  ' "$@"
}

bayes() {
  as "$1" sa-learn --dump magic |
    awk -v count="$2" '$NF == count { print $3 }'
}

until_true() {
  local tries=0
  until "$@" >/dev/null 2>&1; do
    if ((++tries > 600)); then echo "$finding: never came true: $*" >&2; exit 2; fi
    sleep 0.2
  done
}

# --- messages and answers

readonly WORDS=(
  apple bridge candle dinner engine forest garden harbour island jacket kitchen letter market needle
  orange pencil quarter river summer table umbrella valley window yellow anchor basket cousin doctor
  evening farmer guitar hammer insect journey kettle ladder meadow neighbour office painter question
  railway season teacher uncle village winter butter church driver editor father ginger holiday copper
)

message() {
  RANDOM=$1
  printf 'From: Anna <anna@example.org>\nTo: Bert <bert@example.net>\nSubject: about the %s\n' \
    "${WORDS[RANDOM % ${#WORDS[@]}]}"
  printf 'Date: Mon, 23 Nov 2026 10:00:00 +0000\nMessage-ID: <%s@example.org>\n\n' "letter.$1"
  local line
  for line in {1..8}; do
    for _ in {1..9}; do printf '%s ' "${WORDS[RANDOM % ${#WORDS[@]}]}"; done
    printf 'number %s.\n' "$((line * $1))"
  done
}

learn() {
  local class=$1 file=$2 headers=() each
  shift 2
  for each in "$@"; do headers+=(-H "$each"); done
  curl -s --max-time 60 "${headers[@]}" -D head -o body --data-binary "@$file" \
    -H 'Content-Type:' -H 'Expect:' -w '%{http_code}' "http://127.0.0.1:11334/learn$class" || true
  sed -n '1s/^[^ ]* [0-9]* //p' head | tr -d '\r' >reason
}

# three: posts letter.1 to letter.3 as spam, and prints the statuses
three() {
  local number
  for number in 1 2 3; do
    learn spam "letter.$number" 'Learn-Type: bulk'
    echo
  done | xargs
}

learned() {
  local count
  count=$(redis-cli hget RS "learns_$1")
  echo "${count:-0}"
}

# --- results

changed=0

seen() {
  printf '  %-70s %s\n' "$1" "$2"
  if [[ $2 != "$3" ]]; then
    echo "    it was: $3"
    changed=1
  fi
}

finish() {
  if ((changed)); then echo "$finding: it behaves differently now"; else echo "$finding: as it was found"; fi
  exit "$changed"
}
