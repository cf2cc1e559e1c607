#!/usr/bin/env bash
# Builds the images with buildah on a Debian 13 made by debootstrap, and runs them:
#
#   test/service/image.sh           as root on Debian, after `npm ci`; takes some minutes
#   IMAGES=amavis test/service/image.sh   the one of amavis alone; IMAGES=rspamd all but that
#
# The sidecar (service/Dockerfile), an rspamd image and one of amavis (image/*.Dockerfile, each with
# Dockerfile.fragment) run as containers do: the user, environment, entry point and health check of
# their configuration, PID 1 of a PID namespace, a mount namespace with the shared folder, the
# sidecar with a root file system that can't be written to. They share a network with nobody else.
#
# The last line is "N passed, N failed"; the exit status is 0 when something passed and nothing
# failed.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=test/service/shell.sh
. test/service/shell.sh
# shellcheck source=test/service/image/amavis.sh
. test/service/image/amavis.sh

readonly LIB=/var/lib/kopano/spamd

size_mb() {
  du -sm --apparent-size "$1" | cut -f 1
}

# --- containers

# run NAME IMAGE FOLDER SPOOL|'' ro|rw USER|''
run() {
  describe "$2" "$3"
  if [[ -n $4 ]]; then volumes=("$4:$LIB"); fi
  mode=$5
  if [[ -n $6 ]]; then user=$6; fi
  start "$1"
}

# The health check of the image, in a container of it.
healthy() {
  local name=$1 image=$2 check
  mapfile -t check < <(configuration "$image" config.Healthcheck.Test)
  case ${check[0]-} in
    CMD) inside "$name" "${check[@]:1}" ;;
    CMD-SHELL) inside "$name" sh -c "${check[1]}" ;;
    *) echo "$image has no health check" && return 1 ;;
  esac
}

# Stops a container as `docker stop` does; fails unless it ends with $2 within 10 s.
stop() {
  local name=$1 expected=$2 pid status
  pid=$(cat "$scratch/$name.pid")
  terminate "$name" || return 1
  wait "$pid"
  status=$?
  echo "exit code $status"
  tail -n 5 "$scratch/$name.log"
  ((status == expected))
}

# --- what happens in the shared folder

make_spool() {
  mkdir -p "$scratch/$1/ham" && chown $KOPANO:$KOPANO "$scratch/$1/ham"
}

# --- the tests

build_all() {
  local context=$scratch/context
  echo '=== building'
  mkdir -p "$context"
  npm run --silent bundle "$context/kopano-learnd" >/dev/null || return 1
  cp -a test/service/image/rspamd-image "$context/"
  if make_debian learnd-debian && build_wanted "$context" >"$scratch/output" 2>&1; then
    echo "built in $SECONDS s"
    return 0
  fi
  tail -n 30 "$scratch/output"
  return 1
}

build_wanted() {
  if wanted rspamd; then build_rspamd "$1" || return 1; fi
  if wanted amavis; then build_amavis "$1" || return 1; fi
}

build_rspamd() {
  cat test/service/image/rspamd.Dockerfile Dockerfile.fragment >"$1/Dockerfile"
  build --build-arg BASE=localhost/learnd-debian -f service/Dockerfile \
    -t localhost/kopano-learnd "$1/kopano-learnd" &&
    build -f "$1/Dockerfile" -t localhost/learnd-rspamd "$1"
}

wanted() {
  [[ ${IMAGES:-rspamd amavis} == *"$1"* ]]
}

sizes() {
  local base sidecar rspamd bundle
  base=$(size_mb "$scratch/debian")
  sidecar=$(size_mb "$sidecar_root")
  rspamd=$(size_mb "$rspamd_root")
  bundle=$(stat -c %s "$sidecar_root/usr/local/bin/kopano-learnd.mjs")
  echo "sizes: Debian base $base MB, sidecar $sidecar MB, rspamd with the daemon $rspamd MB"
  echo "the bundle alone: $bundle bytes, $(gzip -c "$sidecar_root/usr/local/bin/kopano-learnd.mjs" | wc -c) compressed"
}

not_root_and_labelled() {
  # shellcheck disable=SC2016
  configuration kopano-learnd config.User | grep -xE '[1-9][0-9]*:[1-9][0-9]*' &&
    configuration kopano-learnd config.Healthcheck.Test | tr '\n' ' ' |
    grep -xF 'CMD-SHELL kopano-learnd health || test $? = 78 ' &&
    [[ $(configuration kopano-learnd 'config.Labels' | grep -c .) != 0 ]]
}

nothing_native() {
  [[ -z $(find "$sidecar_root/usr/local" -type f \( -name '*.node' -o -name '*.so*' \)) ]]
}

buildah_runs_it() {
  local container id version
  container=$(buildah from --quiet --pull-never localhost/kopano-learnd) || return 1
  id=$(buildah run "$container" -- id -u) && version=$(buildah run "$container" -- kopano-learnd --version)
  echo "uid $id, version $version"
  [[ $id == 10001 && $version == "$(node -p 'require("./package.json").version')" ]]
}

services_are() {
  local found
  # default-syslog is Debian's
  found=$(inside "$1" ls /etc/service | grep -vx default-syslog | tr '\n' ' ')
  echo "$found"
  [[ $found == "$2 " ]]
}

# A daemon's own uid, told by the file that it has made.
owns_state_dir() {
  [[ $(stat -c %u:%a "$scratch/$1/.learnd") == "$KOPANO:700" ]]
}

run_all() {
  if ! build_all; then
    failed=$((failed + 1))
    return
  fi
  if wanted rspamd; then test_rspamd; fi
  if wanted amavis; then test_amavis || failed=$((failed + 1)); fi
}

test_rspamd() {
  echo "=== running"
  if ! sidecar_root=$(unpack kopano-learnd) || ! rspamd_root=$(unpack learnd-rspamd); then
    failed=$((failed + 1))
    return
  fi
  sizes
  test_that 'the sidecar image names a user who is not root, and a health check' not_root_and_labelled
  test_that 'nothing native is in it' nothing_native
  test_that 'buildah runs the program in it as that user' buildah_runs_it

  run rspamd learnd-rspamd "$rspamd_root" '' rw ''
  test_that "the rspamd image starts without kopano-spamd's folder" within 60 controller_answers
  test_that 'then there is no service kopano-learnd' services_are rspamd 'redis rspamd'
  test_that 'then it is healthy' within 20 healthy rspamd learnd-rspamd

  make_spool beside
  install -d -o $KOPANO -g $KOPANO "$scratch/beside/spam"
  install -d -o $KOPANO -g $KOPANO -m 700 "$scratch/beside/.learnd"
  run sidecar kopano-learnd "$sidecar_root" "$scratch/beside" ro $KOPANO:$KOPANO
  test_that "the sidecar starts as the folders' owner, its root read-only" \
    within 20 logged sidecar '"event":"daemon.owner"'
  judge "$scratch/beside" spam 1
  judge "$scratch/beside" ham 2
  test_that 'it learns what is written into the shared folder' within 40 nothing_waits "$scratch/beside"
  test_that 'rspamd remembers a spam of it' remembered spam 1
  test_that 'rspamd remembers a ham of it' remembered ham 2
  test_that 'nothing can be written to its root' not inside sidecar sh -c ': >/tmp/x'
  test_that 'it is healthy' within 20 healthy sidecar kopano-learnd
  test_that 'it stops on SIGTERM with 0' stop sidecar 0
  test_that 'and has said so' logged sidecar '"event":"daemon.stopped"'
  test_that 'the rspamd image stops on SIGTERM' stop rspamd 143

  # Kopano's container starts later: its volume is there, and belongs to root.
  mkdir "$scratch/within"
  run both learnd-rspamd "$rspamd_root" "$scratch/within" rw ''
  test_that 'with the folder the entry script makes the service' \
    within 20 services_are both 'kopano-learnd redis rspamd'
  test_that 'it waits for kopano-spamd' within 20 logged both 'cure: start kopano-spamd'
  test_that 'and the image is healthy meanwhile' within 20 healthy both learnd-rspamd
  make_spool within
  test_that 'it becomes the owner of the folders' within 60 logged both '"event":"daemon.owner"'
  judge "$scratch/within" spam 3
  test_that 'it learns from the shared folder' within 60 nothing_waits "$scratch/within"
  test_that 'rspamd remembers that' remembered spam 3
  test_that "the daemon is the folders' owner, not root" owns_state_dir within
  test_that 'the image is healthy' within 20 healthy both learnd-rspamd
  test_that 'it stops on SIGTERM' stop both 143
  test_that 'and the daemon has stopped in good order' logged both '"event":"daemon.stopped"'

  run again learnd-rspamd "$rspamd_root" "$scratch/within" rw ''
  test_that "started again it has the service in the place of inotifyd's two" \
    within 20 services_are again 'kopano-learnd redis rspamd'
  test_that 'rspamd still remembers what it learned' within 60 remembered spam 3
  test_that 'it stops once more' stop again 143
}

apart "$@"
