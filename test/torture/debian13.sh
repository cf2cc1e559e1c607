#!/usr/bin/env bash
# The tests on what Debian 13 has (Node.js 20.19, rspamd 3.12, Redis 8), in a chroot that is made by
# debootstrap and removed again:
#
#   test/torture/debian13.sh [VITEST-ARGUMENT...]     as root on Debian, after `npm ci`
#
# Without arguments it runs the tests of real servers. Debian's Node.js can't be sure that its libuv
# does without io_uring, and refuses seteuid() then: unit tests that need it fail here. TEST_LENGTH
# and TEST_SEED are passed on. The exit status is vitest's.
set -euo pipefail
cd "$(dirname "$0")/../.."
export DEBIAN_FRONTEND=noninteractive

if [[ $(id -u) != 0 ]]; then
  echo 'needs root' >&2
  exit 1
fi
if ! command -v debootstrap >/dev/null; then
  apt-get -qq update && apt-get -qq -y --no-install-recommends install debootstrap >/dev/null
fi

root=$(mktemp -d)
# The tests run as users of their own, who have to get here.
chmod 755 "$root"

finish() {
  umount --lazy "$root/proc" "$root/dev" "$root/sys" 2>/dev/null || true
  rm -rf --one-file-system "$root"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

install_debian() {
  debootstrap --variant=minbase trixie "$root" &&
    printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts" &&
    # so that no service starts
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" && chmod 755 "$root/usr/sbin/policy-rc.d" &&
    chroot "$root" apt-get -qq -y --no-install-recommends install \
      nodejs rspamd redis-server openssl procps iproute2 util-linux mount e2fsprogs prometheus
}

if ! output=$(install_debian 2>&1); then
  printf '%s\n' "$output" | tail -n 30 >&2
  exit 1
fi
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mount --make-rslave "$root/proc"
mount --make-rslave "$root/dev"
mount --make-rslave "$root/sys"

npm run --silent build
mkdir "$root/project"
cp -a package.json tsconfig*.json vitest.config.ts src test dist node_modules "$root/project"
for each in README.md CHANGELOG.md LICENSE Dockerfile.fragment service scripts bench; do
  cp -a "$each" "$root/project"
done

versions='echo "Node.js $(node --version), $(rspamd --version | head -n 1), $(redis-server --version | cut -d " " -f 1-3)"'
chroot "$root" sh -c "$versions"
if (($# == 0)); then set -- test/real; fi
status=0
chroot "$root" env -i PATH="$PATH" HOME=/root CI="${CI:-}" NO_COLOR="${NO_COLOR:-}" \
  TEST_LENGTH="${TEST_LENGTH:-short}" ${TEST_SEED:+TEST_SEED="$TEST_SEED"} \
  sh -c 'cd /project && exec node node_modules/vitest/vitest.mjs run "$@"' sh "$@" </dev/null ||
  status=$?
# What a report was written to inside is wanted outside.
if [[ -n ${REPORT:-} && -f $root/project/report.json ]]; then cp "$root/project/report.json" "$REPORT"; fi
exit $status
