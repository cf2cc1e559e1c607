#!/usr/bin/env bash
# The tests on the programs that a suite of Debian has, in a chroot that is removed again:
#
#   test/debian/real.sh SUITE [VITEST-ARGUMENT...]     as root on Debian, after `npm ci`
#
# trixie is Debian 13: Node.js 20.19, rspamd 3.12 and Redis 8. Without further arguments it runs the
# tests of real servers. TEST_LENGTH and TEST_SEED are passed on; REPORT is where the report
# `--outputFile.json=report.json` goes. The exit status is vitest's.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=test/debian/system.sh
. test/debian/system.sh
apart "$@"

suite=$1
shift
make_system "$suite" \
  nodejs rspamd redis-server openssl procps iproute2 util-linux mount e2fsprogs prometheus
npm run --silent build
mkdir "$system/project"
for each in package*.json tsconfig*.json vitest.config.ts src test dist node_modules README.md \
  CHANGELOG.md LICENSE Dockerfile.fragment service scripts bench; do
  cp -a "$each" "$system/project"
done

versions='echo "Node.js $(node --version), $(rspamd --version | head -n 1), $(redis-server --version | cut -d " " -f 1-3)"'
in_system sh -c "$versions"
if (($# == 0)); then set -- test/real; fi
status=0
in_system env --chdir=/project node node_modules/vitest/vitest.mjs run "$@" || status=$?
# What a report was written to inside is wanted outside.
if [[ -n ${REPORT:-} && -f $system/project/report.json ]]; then
  cp "$system/project/report.json" "$REPORT"
fi
exit $status
