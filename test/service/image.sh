#!/usr/bin/env bash
# Builds both images with buildah on a Debian 13 made by debootstrap, and runs them:
#
#   test/service/image.sh     as root on Debian, after `npm run build`; takes some minutes
#
# The sidecar (service/Dockerfile) and an rspamd image (image/rspamd.Dockerfile and
# Dockerfile.fragment) run as containers do: the user, environment, entry point and health check of
# their configuration, PID 1 of a PID namespace, a mount namespace with the shared folder, the
# sidecar with a root file system that can't be written to. Both share a network with nobody else.
#
# The last line is "N passed, N failed"; the exit status is 0 when something passed and nothing
# failed.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
export BUILDAH_ISOLATION=chroot DEBIAN_FRONTEND=noninteractive

readonly LIB=/var/lib/kopano/spamd
readonly KOPANO=5001 SA_GROUP=5002

# The network namespace, with nothing but a loopback, is around everything that runs.
if [[ ${1-} != inside ]]; then
  missing=()
  for program in buildah debootstrap ip:iproute2 nsenter:util-linux; do
    command -v "${program%:*}" >/dev/null || missing+=("${program#*:}")
  done
  if ((${#missing[@]} > 0)); then
    apt-get -qq update && apt-get -qq -y --no-install-recommends install "${missing[@]}" >/dev/null
  fi
fi

scratch=${2:-$(mktemp -d)}
passed=0
failed=0
containers=()

# --- telling

test_that() {
  local name=$1
  shift
  if "$@" >"$scratch/output" 2>&1; then
    passed=$((passed + 1))
    echo "ok      $name"
  else
    failed=$((failed + 1))
    echo "FAILED  $name"
    sed 's/^/        /' "$scratch/output" | tail -n 30
  fi
}

# Waits up to $1 seconds for a command to succeed.
within() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    if ((SECONDS >= end)); then
      echo "not in time: $*"
      return 1
    fi
    sleep 0.2
  done
}

# --- images

store() {
  buildah --storage-driver vfs --root "$scratch/images" --runroot "$scratch/images-run" "$@"
}

# A value of an image's configuration: configuration IMAGE 'config.User'
configuration() {
  store inspect --type image "localhost/$1" | node -e '
    const { Docker } = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
    const value = process.argv[1].split(".").reduce((part, name) => part?.[name], Docker);
    if (Array.isArray(value)) for (const line of value) console.log(line);
    else if (value !== undefined) console.log(value);
  ' "$2"
}

build() {
  store build --quiet --format docker --layers=false --pull-never "$@"
}

# Unpacks an image: prints the folder. Every container has one of its own.
unpack() {
  local container
  container=$(store from --quiet --pull-never "localhost/$1") && store mount "$container"
}

size_mb() {
  du -sm --apparent-size "$1" | cut -f 1
}

# --- containers

# start NAME IMAGE FOLDER SPOOL|'' ro|rw USER|'': its output goes to $scratch/NAME.log
start() {
  local name=$1 image=$2 root=$3 spool=$4 mode=$5 user=$6 environment command
  mapfile -t environment < <(configuration "$image" config.Env)
  mapfile -t command < <(configuration "$image" config.Entrypoint; configuration "$image" config.Cmd)
  if [[ -z $user ]]; then user=$(configuration "$image" config.User); fi
  # shellcheck disable=SC2016
  unshare --mount --pid --fork --kill-child sh -euc '
    root=$1 spool=$2 mode=$3 user=$4
    shift 4
    mount --bind "$root" "$root"
    if [ -n "$spool" ]; then
      mkdir -p "$root'$LIB'"
      mount --bind "$spool" "$root'$LIB'"
    fi
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    if [ "$mode" = ro ]; then mount -o remount,bind,ro "$root"; fi
    cd "$root"
    exec chroot --userspec="${user:-0:0}" . env -i "$@"
  ' sh "$root" "$spool" "$mode" "$user" "${environment[@]}" "${command[@]}" \
    </dev/null >"$scratch/$name.log" 2>&1 &
  echo $! >"$scratch/$name.pid"
  containers+=("$name")
}

# The process that is PID 1 in a container, as it is known outside.
first_process() {
  pgrep -P "$(cat "$scratch/$1.pid")"
}

# Runs a command in a container, as its user and with its environment.
inside() {
  local name=$1 pid
  shift
  pid=$(first_process "$name") || return 1
  # shellcheck disable=SC2016
  nsenter --target "$pid" --mount --pid --root --wd \
    --setuid "$(awk '/^Uid:/{print $2}' "/proc/$pid/status")" \
    --setgid "$(awk '/^Gid:/{print $2}' "/proc/$pid/status")" \
    xargs -0 -a /proc/1/environ sh -c 'exec env -i "$@" '"$(printf '%q ' "$@")" sh
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
  kill -TERM "$(first_process "$name")" || return 1
  within 10 gone "$pid" || return 1
  wait "$pid"
  status=$?
  echo "exit code $status"
  tail -n 5 "$scratch/$name.log"
  ((status == expected))
}

gone() {
  # a zombie is gone: nobody waited for it yet
  ! grep -qs '^State:[[:space:]]*[^Z[:space:]]' "/proc/$1/status"
}

finish() {
  local name pid
  for name in "${containers[@]-}"; do
    pid=$(cat "$scratch/$name.pid" 2>/dev/null) && kill -KILL "$pid" 2>/dev/null
  done
  wait
  rm -rf "$scratch"
  if ((passed == 0 && failed == 0)); then failed=1; fi
  echo "$passed passed, $failed failed"
  exit $((failed > 0))
}

# --- what happens in the shared folder

make_spool() {
  mkdir -p "$scratch/$1/ham" && chown $KOPANO:$KOPANO "$scratch/$1/ham"
}

# Writes a message as kopano-spamd does: judge SPOOL VERDICT SEED
judge() {
  # shellcheck disable=SC2016
  node --input-type=module -e '
    const { KopanoWriter } = await import(`${process.cwd()}/dist/lab/kopano-writer.js`);
    const { makeMessage } = await import(`${process.cwd()}/dist/lab/messages.js`);
    const [lib, verdict, seed, uid, gid] = process.argv.slice(1);
    const { name, raw: body } = makeMessage(verdict, Number(seed));
    const writer = new KopanoWriter({ lib, uid: Number(uid), gid: Number(gid) });
    const outcome = await writer.write({ verdict, name, body });
    if (outcome.kind !== "written") throw new Error(JSON.stringify(outcome));
  ' "$scratch/$1" "$2" "$3" $KOPANO $SA_GROUP
}

nothing_waits() {
  local waiting
  waiting=$(find "$scratch/$1" -name '*.eml' | wc -l)
  ((waiting == 0))
}

# rspamd itself knows the message: posting it again is answered 208.
remembered() {
  # shellcheck disable=SC2016
  node --input-type=module -e '
    const { makeMessage } = await import(`${process.cwd()}/dist/lab/messages.js`);
    const [verdict, seed] = process.argv.slice(1);
    const { raw: body } = makeMessage(verdict, Number(seed));
    const url = `http://127.0.0.1:11334/learn${verdict}`;
    const { status } = await fetch(url, { method: "POST", body, headers: { "Learn-Type": "bulk" } });
    console.log(status);
    process.exit(status === 208 ? 0 : 1);
  ' "$1" "$2"
}

controller_answers() {
  node -e 'fetch("http://127.0.0.1:11334/ping").then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))'
}

logged() {
  grep -q -- "$2" "$scratch/$1.log" || { tail -n 20 "$scratch/$1.log" && return 1; }
}

# --- the tests

build_all() {
  local context=$scratch/context
  echo '=== building'
  mkdir -p "$context"
  npm run --silent bundle "$context/kopano-learnd" >/dev/null || return 1
  cp -a test/service/image/rspamd-image "$context/"
  cat test/service/image/rspamd.Dockerfile Dockerfile.fragment >"$context/Dockerfile"
  debootstrap --variant=minbase trixie "$scratch/debian" >"$scratch/output" 2>&1 ||
    { tail -n 20 "$scratch/output" && return 1; }
  rm -rf "$scratch/debian/var/cache/apt/archives" "$scratch"/debian/var/lib/apt/lists/*
  echo '127.0.0.1 localhost' >"$scratch/debian/etc/hosts"
  printf 'FROM scratch\nCOPY . /\nCMD ["sh"]\n' >"$scratch/debian.Dockerfile"
  build -f "$scratch/debian.Dockerfile" -t localhost/learnd-debian "$scratch/debian" >/dev/null &&
    build --build-arg BASE=localhost/learnd-debian -f service/Dockerfile \
      -t localhost/kopano-learnd "$context/kopano-learnd" >"$scratch/output" 2>&1 &&
    build -f "$context/Dockerfile" -t localhost/learnd-rspamd "$context" >"$scratch/output" 2>&1 &&
    echo "built in $SECONDS s" &&
    return 0
  tail -n 30 "$scratch/output"
  return 1
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
  configuration kopano-learnd config.User | grep -xE '[1-9][0-9]*:[1-9][0-9]*' &&
    configuration kopano-learnd config.Healthcheck.Test | tr '\n' ' ' |
    grep -xF 'CMD-SHELL test "$STATUS_LISTEN" = off || kopano-learnd health ' &&
    [[ $(configuration kopano-learnd 'config.Labels' | grep -c .) != 0 ]]
}

nothing_native() {
  [[ -z $(find "$sidecar_root/usr/local" -type f \( -name '*.node' -o -name '*.so*' \)) ]]
}

buildah_runs_it() {
  local container id version
  container=$(store from --quiet --pull-never localhost/kopano-learnd) || return 1
  id=$(store run "$container" -- id -u) && version=$(store run "$container" -- kopano-learnd --version)
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
  echo "=== running"
  ip link set lo up
  if ! sidecar_root=$(unpack kopano-learnd) || ! rspamd_root=$(unpack learnd-rspamd); then
    failed=$((failed + 1))
    return
  fi
  sizes
  test_that 'the sidecar image names a user who is not root, and a health check' not_root_and_labelled
  test_that 'nothing native is in it' nothing_native
  test_that 'buildah runs the program in it as that user' buildah_runs_it

  start rspamd learnd-rspamd "$rspamd_root" '' rw ''
  test_that "the rspamd image starts without kopano-spamd's folder" within 60 controller_answers
  test_that 'then there is no service kopano-learnd' services_are rspamd 'redis rspamd'
  test_that 'then it is healthy' within 20 healthy rspamd learnd-rspamd

  make_spool beside
  install -d -o $KOPANO -g $KOPANO "$scratch/beside/spam"
  install -d -o $KOPANO -g $KOPANO -m 700 "$scratch/beside/.learnd"
  start sidecar kopano-learnd "$sidecar_root" "$scratch/beside" ro $KOPANO:$KOPANO
  test_that "the sidecar starts as the folders' owner, its root read-only" \
    within 20 logged sidecar '"event":"daemon.owner"'
  judge beside spam 1
  judge beside ham 2
  test_that 'it learns what is written into the shared folder' within 40 nothing_waits beside
  test_that 'rspamd remembers a spam of it' remembered spam 1
  test_that 'rspamd remembers a ham of it' remembered ham 2
  test_that 'nothing can be written to its root' not inside sidecar sh -c ': >/tmp/x'
  test_that 'it is healthy' within 20 healthy sidecar kopano-learnd
  test_that 'it stops on SIGTERM with 0' stop sidecar 0
  test_that 'and has said so' logged sidecar '"event":"daemon.stopped"'
  test_that 'the rspamd image stops on SIGTERM' stop rspamd 143

  make_spool within
  start both learnd-rspamd "$rspamd_root" "$scratch/within" rw ''
  test_that "with the folder the entry script makes the service, in the place of inotifyd's two" \
    within 20 services_are both 'kopano-learnd redis rspamd'
  test_that 'it becomes the owner of the folders' within 60 logged both '"event":"daemon.owner"'
  judge within spam 3
  test_that 'it learns from the shared folder' within 60 nothing_waits within
  test_that 'rspamd remembers that' remembered spam 3
  test_that "the daemon is the folders' owner, not root" owns_state_dir within
  test_that 'the image is healthy' within 20 healthy both learnd-rspamd
  test_that 'it stops on SIGTERM' stop both 143
  test_that 'and the daemon has stopped in good order' logged both '"event":"daemon.stopped"'
}

not() {
  ! "$@"
}

if [[ ${1-} == inside ]]; then
  trap finish EXIT
  trap 'exit 1' INT TERM HUP
  run_all
elif [[ $(id -u) != 0 ]]; then
  echo 'needs root'
  exit 1
elif build_all; then
  exec unshare --net --mount bash "$0" inside "$scratch"
else
  failed=1
  finish
fi
