#!/usr/bin/env bash
# Node.js 24.21.0, `zlib.createZstdDecompress` on valid contents (RFC 8878: any number of frames, of
# which skippable ones hold no data).
#
# Seen: of two frames the first one is given, and then the end, without an error. Of a content that
# begins with a skippable frame nothing is given, without an error. Archives of mail are made so: by
# `cat a.zst b.zst`, by a program that appends a frame a day, by pzstd, which begins each part with a
# skippable frame. Who counts on the end, or on an error, takes such an archive for a short or an empty
# one. Node.js 26.10.0 gives all of it.
set -euo pipefail
# shellcheck source=findings/lib.sh
. "$(dirname "$0")/lib.sh"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# read_with VERSION: how many of the 47 bytes of a message each content gives, and the error's code
read_with() {
  npm install --silent --no-audit --no-fund --prefix "$folder/$1" "node@$1" >/dev/null
  "$folder/$1/node_modules/node/bin/node" "$folder/read.mjs"
}

cat >"$folder/read.mjs" <<'END'
import { createZstdDecompress, zstdCompressSync } from 'node:zlib';

const frame = zstdCompressSync(Buffer.from('From: a@example.org\nSubject: one\n\nText of one.\n'));
const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]);
const contents = [[frame], [frame, frame], [skippable, frame]];
for (const content of contents) {
  const unpacked = createZstdDecompress();
  let bytes = 0;
  let end = 'no error';
  unpacked.on('data', (chunk) => (bytes += chunk.length));
  unpacked.on('error', (error) => (end = error.code));
  await new Promise((resolve) => unpacked.on('close', resolve).end(Buffer.concat(content)));
  console.log(`${bytes} bytes, ${end}`);
}
END

mapfile -t old < <(read_with 24.21.0)
seen 'Node.js 24.21.0, one frame' "${old[0]-}" '47 bytes, no error'
seen 'Node.js 24.21.0, two frames' "${old[1]-}" '47 bytes, no error'
seen 'Node.js 24.21.0, a skippable frame, then one' "${old[2]-}" '0 bytes, no error'
mapfile -t new < <(read_with 26.10.0)
seen 'Node.js 26.10.0, two frames' "${new[1]-}" '94 bytes, no error'
seen 'Node.js 26.10.0, a skippable frame, then one' "${new[2]-}" '47 bytes, no error'
finish
