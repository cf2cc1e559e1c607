# shellcheck shell=bash
# The part of image.sh about an image of amavis and SpamAssassin, as mlan/postfix-amavis is one: what the
# daemon in it teaches, by spamd and by sa-learn, amavisd's own SpamAssassin knows.

readonly TAUGHT=8

build_amavis() {
  local context=$1
  cp -a test/service/image/amavis-image "$context/"
  cat test/service/image/amavis.Dockerfile Dockerfile.fragment >"$context/amavis.Dockerfile"
  build -f "$context/amavis.Dockerfile" -t localhost/learnd-amavis "$context"
}

# start_amavis NAME SPOOL [NAME=VALUE...]: from an image of its own, so that nothing is learned yet.
start_amavis() {
  local name=$1 spool=$2
  shift 2
  describe learnd-amavis "$(unpack learnd-amavis)" || return 1
  amavis_root=$root
  volumes=("$spool:$LIB")
  environment+=("$@")
  start "$name"
}

# What amavisd says of a message that nobody was taught: opinion NAME VERDICT
opinion() {
  # shellcheck disable=SC2016
  node --input-type=module -e '
    const { unseenMessage } = await import(`${process.cwd()}/dist/lab/messages.js`);
    process.stdout.write(unseenMessage(process.argv[1]).raw);
  ' "$2" >"$amavis_root/tmp/$2.eml" && inside "$1" ask-amavis "/tmp/$2.eml"
}

no_opinion() {
  local says
  says=$(opinion "$1" "$2")
  echo "$says"
  [[ $says == *tests=* && $says != *BAYES_* ]]
}

has_opinion() {
  local says
  says=$(opinion "$1" "$2")
  echo "$says"
  [[ $says == *"BAYES_$3"* ]]
}

teach() {
  local seed
  for ((seed = 1; seed <= TAUGHT; seed++)); do
    judge "$1" spam "$seed" && judge "$1" ham "$seed" || return 1
  done
}

# Bayes' own count, of the user whose Bayes amavisd reads.
counted() {
  local dump
  dump=$(inside "$1" setpriv --reuid amavis --regid amavis --init-groups env -u HOME sa-learn --dump magic)
  echo "$dump"
  grep -qE " $TAUGHT +0 +non-token data: nspam" <<<"$dump" &&
    grep -qE " $TAUGHT +0 +non-token data: nham" <<<"$dump"
}

doctor_is_content() {
  inside "$1" kopano-learnd doctor | tee "$scratch/doctor"
  grep -q '^failed' "$scratch/doctor" && return 1
  return 0
}

# taught_by NAME SPOOL SERVICES: all that is the same by spamd and by sa-learn
taught_by() {
  test_that "$1: the entry script makes its services" within 20 services_are "$1" "$3"
  test_that "$1: amavisd checks, and Bayes has no opinion" within 60 no_opinion "$1" spam
  test_that "$1: messages are dropped" teach "$2"
  test_that "$1: they are learned" within 60 nothing_waits "$2"
  test_that "$1: amavisd's own SpamAssassin knows spam now" has_opinion "$1" spam 99
  test_that "$1: and ham" has_opinion "$1" ham 00
  test_that "$1: each is counted once" counted "$1"
  test_that "$1: root's doctor has nothing to mend" doctor_is_content "$1"
  test_that "$1: the container is healthy" within 20 healthy "$1" learnd-amavis
  test_that "$1: it stops on SIGTERM" stop "$1" 143
  test_that "$1: the daemon has stopped in good order" logged "$1" '"event":"daemon.stopped"'
}

test_amavis() {
  echo '=== running amavis'
  make_spool by-spamd
  start_amavis by-spamd "$scratch/by-spamd" || return 1
  taught_by by-spamd "$scratch/by-spamd" 'amavis kopano-learnd kopano-learnd-spamd'

  # the filter's user has to get to the folders: docs/permissions.md
  install -d -o $KOPANO -g $SA_GROUP -m 2770 "$scratch/by-sa-learn/spam" "$scratch/by-sa-learn/ham"
  start_amavis by-sa-learn "$scratch/by-sa-learn" SPAMD_URL=exec:/usr/bin/sa-learn || return 1
  taught_by by-sa-learn "$scratch/by-sa-learn" 'amavis kopano-learnd'
}
