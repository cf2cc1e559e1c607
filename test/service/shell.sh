# shellcheck shell=bash
# What image.sh, readme.sh, release.sh and image/docker share: tests and how they are told, namespaces, images
# by buildah, containers by unshare and chroot, and what happens around kopano-spamd's folder.
#
# It is sourced, with `set -uo pipefail` and from the project's folder. Everything lies in $scratch.
export BUILDAH_ISOLATION=chroot DEBIAN_FRONTEND=noninteractive

readonly KOPANO=5001 SA_GROUP=5002 LAB=/usr/src/lab

passed=0
failed=0

# --- the run

# The last line of a script: apart "$@". Runs its `run_all` apart from the machine: with processes,
# mounts and a network (a loopback, no more) of its own. What is left there ends with it.
apart() {
  if [[ ${1-} == inside ]]; then
    scratch=$2
    trap tell_numbers EXIT
    trap 'exit 1' INT TERM HUP
    ip link set lo up
    run_all
  elif [[ $(id -u) != 0 ]]; then
    echo 'needs root'
    exit 1
  else
    install_missing buildah debootstrap ip:iproute2 nsenter:util-linux pgrep:procps
    npx esbuild test/lab/kopano-writer.ts test/lab/messages.ts --outdir=dist/lab --bundle \
      --platform=node --format=esm --log-level=warning || exit 1
    go_apart "$PWD/test/service/${0##*/}"
  fi
}

go_apart() {
  local run
  scratch=$(mktemp -d)
  # users of its own have to get to what lies in it
  chmod 755 "$scratch"
  printf '[storage]\ndriver = "vfs"\ngraphroot = "%s"\nrunroot = "%s"\n' \
    "$scratch/images" "$scratch/images-run" >"$scratch/storage.conf"
  export CONTAINERS_STORAGE_CONF=$scratch/storage.conf
  # the way out, for `online`
  exec 8</proc/self/ns/net
  unshare --net --mount --pid --mount-proc --fork --kill-child bash "$1" inside "$scratch" &
  run=$!
  # shellcheck disable=SC2064
  trap "end_apart $run" EXIT
  trap 'exit 1' INT TERM HUP
  wait "$run"
  exit
}

end_apart() {
  local first
  # With the first process all others of its namespace end. When it is waited for, they are gone.
  if first=$(pgrep -P "$1"); then kill -KILL "$first"; fi
  wait "$1"
  rm -rf --one-file-system "$scratch"
}

install_missing() {
  local missing=() program
  for program in "$@"; do
    command -v "${program%:*}" >/dev/null || missing+=("${program#*:}")
  done
  ((${#missing[@]} == 0)) ||
    { apt-get -qq update && apt-get -qq -y --no-install-recommends install "${missing[@]}" >/dev/null; }
}

# Runs a command in the machine's own network.
online() {
  nsenter --net=/proc/1/fd/8 "$@"
}

tell_numbers() {
  if ((passed == 0 && failed == 0)); then failed=1; fi
  echo "$passed passed, $failed failed"
  exit $((failed > 0))
}

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

not() {
  ! "$@"
}

# Runs a command that succeeds and prints nothing.
quiet() {
  local said
  said=$("$@" 2>&1) || { echo "$said" && return 1; }
  echo "$said"
  [[ -z $said ]]
}

# --- images

# A value of an image's configuration: configuration IMAGE 'config.User'
configuration() {
  buildah inspect --type image "localhost/$1" | node -e '
    const { Docker } = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
    const value = process.argv[1].split(".").reduce((part, name) => part?.[name], Docker);
    if (Array.isArray(value)) for (const line of value) console.log(line);
    else if (value !== undefined) console.log(value);
  ' "$2"
}

build() {
  online buildah build --quiet --format docker --layers=false --pull-never "$@"
}

# Makes a fresh Debian 13 in $scratch/debian, and the image localhost/$1 of it.
make_debian() {
  online test/debian/bare.sh trixie "$scratch/debian" >"$scratch/output" 2>&1 ||
    { tail -n 20 "$scratch/output" && return 1; }
  rm -rf "$scratch/debian/var/cache/apt/archives" "$scratch"/debian/var/lib/apt/lists/*
  echo '127.0.0.1 localhost' >"$scratch/debian/etc/hosts"
  printf 'FROM scratch\nCOPY . /\nCMD ["sh"]\n' >"$scratch/debian.Dockerfile"
  build -f "$scratch/debian.Dockerfile" -t "localhost/$1" "$scratch/debian" >/dev/null
}

# Unpacks an image: prints the folder. Every container has one of its own.
unpack() {
  local container
  container=$(buildah from --quiet --pull-never "localhost/$1") && buildah mount "$container"
}

# --- containers

# What describes a container: root, user, environment, entrypoint and command, which `describe` takes
# from an image; mode (ro or rw), capabilities (all or none) and volumes (FROM:TO or FROM:TO:ro).

# describe IMAGE ROOT
describe() {
  root=$2
  mode=rw
  capabilities=all
  volumes=()
  user=$(configuration "$1" config.User)
  mapfile -t environment < <(configuration "$1" config.Env)
  mapfile -t entrypoint < <(configuration "$1" config.Entrypoint)
  mapfile -t command < <(configuration "$1" config.Cmd)
}

# Becomes the container that is described.
contain() {
  # shellcheck disable=SC2016
  exec unshare --mount --pid --fork --kill-child sh -euc '
    root=$1 mode=$2 user=${3:-0:0} capabilities=$4
    shift 4
    mount --bind "$root" "$root"
    while [ "$1" != -- ]; do
      from=${1%%:*} to=${1#*:}
      to=$root${to%:ro}
      mkdir -p "${to%/*}"
      if [ -d "$from" ]; then mkdir -p "$to"; elif [ ! -e "$to" ]; then : >"$to"; fi
      mount --bind "$from" "$to"
      case $1 in *:ro) mount -o remount,bind,ro "$to" ;; esac
      shift
    done
    shift
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    if [ "$mode" = ro ]; then mount -o remount,bind,ro "$root"; fi
    cd "$root"
    if [ "$capabilities" = all ]; then exec chroot --userspec="$user" . env -i "$@"; fi
    exec chroot . setpriv --reuid="${user%:*}" --regid="${user#*:}" --clear-groups \
      --inh-caps=-all --bounding-set=-all env -i "$@"
  ' sh "$root" "$mode" "$user" "$capabilities" "${volumes[@]}" -- \
    "${environment[@]}" "${entrypoint[@]}" "${command[@]}"
}

# Starts the container that is described under a name: its output goes to $scratch/NAME.log
start() {
  contain </dev/null >>"$scratch/$1.log" 2>&1 &
  echo $! >"$scratch/$1.pid"
}

# The process that is PID 1 in a container, as it is known outside.
first_process() {
  local run
  run=$(cat "$scratch/$1.pid") && pgrep -P "$run"
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

# Ends a container as `docker stop` does; fails unless it ends within 10 s.
terminate() {
  kill -TERM "$(first_process "$1")" && within 10 gone "$(cat "$scratch/$1.pid")"
}

gone() {
  # a zombie is gone: nobody waited for it yet
  ! grep -qs '^State:[[:space:]]*[^Z[:space:]]' "/proc/$1/status"
}

logged() {
  grep -q -- "$2" "$scratch/$1.log" || { tail -n 20 "$scratch/$1.log" && return 1; }
}

# --- a machine, which is a chroot in $root; `machine` is the command that runs another one in it

# Mounts what a machine has; apt-get's "Do you want to continue?" is answered.
mount_machine() {
  mount --bind "$root" "$root" && mount -t proc proc "$root/proc" &&
    mount --rbind /dev "$root/dev" && mount --rbind /sys "$root/sys" &&
    echo 'APT::Get::Assume-Yes "true";' >"$root/etc/apt/apt.conf.d/yes"
}

add_kopano() {
  "${machine[@]}" groupadd --gid $KOPANO kopano
  "${machine[@]}" groupadd --gid $SA_GROUP amavis
  "${machine[@]}" useradd --uid $KOPANO --gid kopano --groups amavis --no-create-home kopano
}

# What `judge` needs there.
bring_lab() {
  mkdir -p "$root$LAB/dist" && cp -a package.json "$root$LAB/" && cp -a dist/lab "$root$LAB/dist/"
}

# Makes systemd the first process of the machine, for what comes after it.
boot() {
  local run
  # shellcheck disable=SC2016
  unshare --pid --mount --cgroup --fork --kill-child sh -euc '
    cd "$1"
    mount -t proc proc proc
    mount -t tmpfs tmpfs run
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    exec chroot . env -i container=chroot PATH=/usr/sbin:/usr/bin /lib/systemd/systemd --show-status=no
  ' sh "$root" </dev/null >"$scratch/systemd.log" 2>&1 &
  run=$!
  within 10 pgrep -P $run >"$scratch/systemd.pid" || return 1
  within 10 test "$(readlink "/proc/$(cat "$scratch/systemd.pid")/exe")" || return 1
  without_systemd=("${machine[@]}")
  machine=(nsenter --target "$(cat "$scratch/systemd.pid")" --pid --mount --root --wd "${machine[@]:2}")
  within 20 "${machine[@]}" systemctl show --property Version
}

halt() {
  kill -KILL "$(cat "$scratch/systemd.pid")"
  machine=("${without_systemd[@]}")
}

# --- what happens around kopano-spamd's folder

# Writes a message as kopano-spamd does: judge FOLDER VERDICT SEED [COMMAND...]. The command is what
# runs it elsewhere or as another user, in a folder with dist/lab.
judge() {
  local folder=$1 verdict=$2 seed=$3
  shift 3
  # shellcheck disable=SC2016
  "$@" node --input-type=module -e '
    const { KopanoWriter } = await import(`${process.cwd()}/dist/lab/kopano-writer.js`);
    const { makeMessage } = await import(`${process.cwd()}/dist/lab/messages.js`);
    const [lib, verdict, seed, uid, gid] = process.argv.slice(1);
    const { name, raw: body } = makeMessage(verdict, Number(seed));
    const writer = new KopanoWriter({ lib, uid: Number(uid), gid: Number(gid) });
    const outcome = await writer.write({ verdict, name, body });
    if (outcome.kind !== "written") throw new Error(JSON.stringify(outcome));
  ' "$folder" "$verdict" "$seed" $KOPANO $SA_GROUP
}

# Every message of a folder was learned: what is left of them lies in the archive, or is kept in taught/.
nothing_waits() {
  local waiting
  waiting=$(find "$1" -name '*.eml' -not -path '*/archive/*' -not -path '*/taught/*' | wc -l)
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

# A private Redis and rspamd, the controller at its usual port; $rspamd is their process.
start_private_rspamd() {
  npx esbuild test/service/private-rspamd.ts --outfile="$scratch/private-rspamd.mjs" --bundle \
    --platform=node --format=esm --log-level=warning &&
    { node "$scratch/private-rspamd.mjs" "$scratch" >"$scratch/rspamd.log" 2>&1 & } && rspamd=$! &&
    within 60 controller_answers
}

controller_answers() {
  node -e 'fetch("http://127.0.0.1:11334/ping").then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))'
}
