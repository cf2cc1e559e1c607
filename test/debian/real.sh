#!/usr/bin/env bash
# The tests on the programs that a suite of Debian has, in a chroot that is removed again:
#
#   test/debian/real.sh SUITE [VITEST-ARGUMENT...]     as root on Debian, after `npm ci`
#
# trixie is Debian 13: Node.js 20.19, rspamd 3.12, Redis 8.0 and Valkey 8.1; forky comes after it:
# Node.js 24, rspamd 4.1, Redis 8.0 and Valkey 9.1. Without further arguments it runs the tests of real
# servers. TEST_LENGTH and TEST_SEED are passed on; REPORT is where the report
# `--outputFile.json=report.json` goes. The exit status is vitest's.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=test/debian/system.sh
. test/debian/system.sh
apart "$@"

suite=$1
shift
make_system "$suite" \
  nodejs rspamd redis-server valkey-server spamd openssl zstd procps iproute2 util-linux mount e2fsprogs prometheus
mkdir "$system/project"
for each in package*.json tsconfig*.json vitest.config.ts src demo test node_modules README.md \
  CHANGELOG.md LICENSE Dockerfile.fragment service scripts bench; do
  cp -a "$each" "$system/project"
done

in_system sh -c 'echo "Node.js $(node --version)"; for each in rspamd redis-server valkey-server; do
  $each --version | head -n 1
done'
if (($# == 0)); then set -- test/real; fi
status=0
in_system env --chdir=/project node node_modules/vitest/vitest.mjs run "$@" || status=$?
# What a report was written to inside is wanted outside.
if [[ -n ${REPORT:-} && -f $system/project/report.json ]]; then
  cp "$system/project/report.json" "$REPORT"
fi
exit $status
