import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, read, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import { onTestFinished } from 'vitest';

/**
 * A FUSE volume with nothing but the folders `spam/` and `ham/`, served by the test that mounts it:
 * as much of the kernel's protocol (linux/fuse.h) as it takes to look at folders. Whoever looks has
 * to be another process, for this one has to answer.
 */

/** What the kernel asks. Everything else is answered with ENOSYS. */
const OP = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  statfs: 17,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  interrupt: 36,
  batchForget: 42,
} as const;
const [ENOENT, ENOSYS] = [2, 38];
const ROOT = 1n;
/** Node numbers by name. */
const FOLDERS: Readonly<Record<string, bigint>> = { spam: 2n, ham: 3n };
const IN_HEADER_BYTES = 40;
const OUT_HEADER_BYTES = 16;

/** Mounts it until the test is over. Its type is `fuse`, without a subtype such as `sshfs`. */
export async function mountFuse(place: string): Promise<void> {
  const fd = openSync('/dev/fuse', 'r+');
  const options = 'fd=3,rootmode=40755,user_id=0,group_id=0';
  // -i: no mount.fuse, which would look for a program to serve it
  const mount = spawn('mount', ['-i', '-t', 'fuse', '-o', options, 'test', place], {
    stdio: ['ignore', 'ignore', 'inherit', fd],
  });
  const [code] = (await once(mount, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`mount: exit code ${code}`);
  // Not before: what isn't mounted yet can't be read, which would look like the end of it.
  const served = serve(fd);
  onTestFinished(async () => {
    await promisify(execFile)('umount', [place]);
    await served;
    closeSync(fd);
  });
}

/** Answers until the volume is unmounted. */
async function serve(fd: number): Promise<void> {
  const buffer = Buffer.alloc(1024 * 1024);
  for (;;) {
    let length: number;
    try {
      length = (await promisify(read)(fd, buffer, 0, buffer.length, null)).bytesRead;
    } catch {
      return; // ENODEV
    }
    const answer = answerTo(buffer.subarray(0, length));
    if (answer !== undefined) writeSync(fd, answer);
  }
}

function answerTo(request: Buffer): Buffer | undefined {
  const unique = request.readBigUInt64LE(8);
  const node = request.readBigUInt64LE(16);
  switch (request.readUInt32LE(4)) {
    case OP.init:
      return reply(unique, initial());
    case OP.getattr:
      return reply(unique, Buffer.concat([Buffer.alloc(16), attributesOf(node)]));
    case OP.lookup: {
      const found = FOLDERS[request.toString('latin1', IN_HEADER_BYTES, request.length - 1)];
      return found === undefined ? refusal(unique, ENOENT) : reply(unique, entryOf(found));
    }
    case OP.statfs:
      return reply(unique, Buffer.alloc(80));
    case OP.opendir:
      return reply(unique, Buffer.alloc(16));
    case OP.readdir:
    case OP.releasedir:
      return reply(unique, Buffer.alloc(0));
    case OP.forget:
    case OP.batchForget:
    case OP.interrupt:
      return undefined;
    default:
      return refusal(unique, ENOSYS);
  }
}

/** `fuse_init_out`: version 7.31, no extras. */
function initial(): Buffer {
  const body = Buffer.alloc(64);
  body.writeUInt32LE(7, 0);
  body.writeUInt32LE(31, 4);
  body.writeUInt32LE(4_096, 20); // max_write
  body.writeUInt32LE(1, 24); // granularity of times
  return body;
}

/** `fuse_entry_out`, good for no time at all. */
function entryOf(node: bigint): Buffer {
  const head = Buffer.alloc(40);
  head.writeBigUInt64LE(node, 0);
  return Buffer.concat([head, attributesOf(node)]);
}

/** `fuse_attr` of a folder of root's. */
function attributesOf(node: bigint): Buffer {
  const body = Buffer.alloc(88);
  body.writeBigUInt64LE(node, 0);
  body.writeUInt32LE(0o40755, 60); // mode
  body.writeUInt32LE(node === ROOT ? 4 : 2, 64); // links
  return body;
}

function reply(unique: bigint, body: Buffer, error = 0): Buffer {
  const head = Buffer.alloc(OUT_HEADER_BYTES);
  head.writeUInt32LE(OUT_HEADER_BYTES + body.length, 0);
  head.writeInt32LE(-error, 4);
  head.writeBigUInt64LE(unique, 8);
  return Buffer.concat([head, body]);
}

function refusal(unique: bigint, error: number): Buffer {
  return reply(unique, Buffer.alloc(0), error);
}
