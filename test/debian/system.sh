# shellcheck shell=bash
# Makes a Debian of any suite by debootstrap, for real.sh and fresh.sh, which source it: as root on
# Debian, from the project's folder.
#
#   apart "$@"                      the script from here on has processes and mounts of its own, which
#                                   end with it; $scratch is a folder that is removed afterwards
#   make_system SUITE PACKAGE...    the Debian, in $scratch/SUITE, with these packages and no others
#                                   but what they need; no service starts in it by itself
#   in_system [NAME=VALUE]... COMMAND...
#
# The system has a container's devices, so neither loop devices nor FUSE, and the machine's network.
# From outside it gets CI, NO_COLOR, TEST_LENGTH, TEST_SEED, and what tells npm its registry.
export DEBIAN_FRONTEND=noninteractive

readonly CERTIFICATES=/run/extra-ca-certificates.pem

apart() {
  if [[ -n ${APART:-} ]]; then
    scratch=$APART
    mount -t proc proc /proc
    return
  fi
  if [[ $(id -u) != 0 ]]; then
    echo 'needs root' >&2
    exit 1
  fi
  command -v debootstrap >/dev/null ||
    { apt-get -qq update && apt-get -qq -y --no-install-recommends install debootstrap >/dev/null; }
  scratch=$(mktemp -d)
  # Some tests run as users of their own, who have to get here.
  chmod 755 "$scratch"
  APART=$scratch unshare --mount --pid --fork --kill-child bash "test/debian/${0##*/}" "$@" </dev/null &
  # shellcheck disable=SC2064
  trap "end_apart $!" EXIT
  trap 'exit 1' INT TERM HUP
  wait $!
  exit
}

end_apart() {
  local first
  # With the first process all others of its namespace end. When it is waited for, they are gone.
  if first=$(pgrep -P "$1"); then kill -KILL "$first"; fi
  wait "$1" || true
  rm -rf --one-file-system "$scratch"
}

make_system() {
  local suite=$1 output
  shift
  system=$scratch/$suite
  if ! output=$(install_system "$suite" "$@" 2>&1); then
    printf '%s\n' "$output" | tail -n 30 >&2
    return 1
  fi
}

install_system() {
  local suite=$1 policy=$system/usr/sbin/policy-rc.d
  shift
  test/debian/bare.sh "$suite" "$system" &&
    printf '127.0.0.1 localhost\n::1 localhost\n' >"$system/etc/hosts" &&
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" &&
    mount --bind "$system" "$system" &&
    mount -t proc proc "$system/proc" &&
    mount -t sysfs sysfs "$system/sys" &&
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$system/dev/pts" &&
    mount -t tmpfs -o mode=1777 shm "$system/dev/shm" &&
    lend_certificates &&
    in_system apt-get -qq -y --no-install-recommends install "$@"
}

# Authorities that npm is told of by the environment have to be found in there.
lend_certificates() {
  [[ -z ${NODE_EXTRA_CA_CERTS:-} ]] || cp "$NODE_EXTRA_CA_CERTS" "$system$CERTIFICATES"
}

in_system() {
  local name environment=()
  for name in CI NO_COLOR TEST_LENGTH TEST_SEED $(compgen -e | grep -i '^npm_config_registry$'); do
    if [[ -n ${!name:-} ]]; then environment+=("$name=${!name}"); fi
  done
  if [[ -n ${NODE_EXTRA_CA_CERTS:-} ]]; then environment+=("NODE_EXTRA_CA_CERTS=$CERTIFICATES"); fi
  chroot "$system" env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    DEBIAN_FRONTEND=noninteractive "${environment[@]}" "$@"
}
