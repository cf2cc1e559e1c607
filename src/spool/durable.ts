import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { errnoOf } from '../errors.ts';
import type { Verdict } from '../verdict.ts';
import type { ClassFolder } from './drop-directory.ts';
import { READ_SAFELY } from './folder.ts';
import type { Folder } from './folder.ts';
import { STAGED_PREFIX, sameStamp } from './message.ts';
import type { Stamp } from './message.ts';

/** What is written so that a power failure leaves it whole or not at all. Nothing here removes a file. */

const { O_RDONLY, O_WRONLY, O_CREAT, O_TRUNC, O_DIRECTORY, O_NOFOLLOW } = constants;
const WRITE = O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW;
const CHUNK_BYTES = 1 << 20;
/** Removed, or no regular file any more, since the look at it: another look says which. */
const SWAPPED = new Set(['ENOENT', 'ELOOP', 'ENXIO']);

/**
 * Copies a staged file to another file system, under its key.
 * @param stamp what is to be copied: no other file than this
 * @returns false when the file is another one, or changed meanwhile; what was copied then stays
 * @throws the system's error for a disk fault
 */
export async function copyStaged(
  from: ClassFolder,
  key: string,
  stamp: Stamp,
  to: Folder,
): Promise<boolean> {
  let source: FileHandle;
  try {
    source = await open(from.folder.at(STAGED_PREFIX + key), READ_SAFELY);
  } catch (error) {
    if (SWAPPED.has(errnoOf(error) ?? '')) return false;
    throw error;
  }
  try {
    return await copyFrom(source, stamp, to.at(key), from.verdict);
  } finally {
    await source.close();
  }
}

async function copyFrom(
  source: FileHandle,
  stamp: Stamp,
  to: Buffer | string,
  verdict: Verdict,
): Promise<boolean> {
  const size = Number(stamp.size);
  const stats = await source.stat({ bigint: true });
  if (!sameStamp(stats, stamp)) return false;
  const mode = Number(stats.mode & 0o777n) | 0o600;
  const copy = await open(to, WRITE, mode);
  try {
    const buffer = Buffer.allocUnsafeSlow(Math.max(1, Math.min(size, CHUNK_BYTES)));
    let position = 0;
    while (position < size) {
      const { bytesRead } = await source.read(buffer, 0, buffer.length, position);
      if (bytesRead === 0) return false;
      await copy.writeFile(buffer.subarray(0, bytesRead)); // goes on after a short write
      position += bytesRead;
    }
    // The archive shows when it was judged.
    await copy.utimes(stats.atime, mtimeOfCopy(stamp.mtimeNs, verdict));
    await copy.sync();
    const copied = await copy.stat({ bigint: true });
    const after = await source.stat({ bigint: true });
    return copied.size === stamp.size && sameStamp(after, stamp);
  } finally {
    await copy.close();
  }
}

/**
 * The mtime that a copy gets, in seconds. Node.js takes it as a double and cuts it to microseconds
 * (libuv 1.46); what is lost must not turn a tie with the original's twin, which is ham's. So a copy of
 * ham is up to two microseconds newer than its original, one of spam that much older, and one of a
 * further class in between.
 */
function mtimeOfCopy(mtimeNs: bigint, verdict: Verdict): number {
  const shifts: Readonly<Record<Verdict, bigint>> = { ham: 1n, spam: -1n };
  const microseconds = mtimeNs / 1_000n + (shifts[verdict] ?? 0n);
  return (Number(microseconds) + 0.5) / 1e6;
}

/** Makes renames in a folder durable. */
export async function syncFolder(folder: Folder): Promise<void> {
  const handle = await open(folder.at('.'), O_RDONLY | O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Writes a file that is on the disk when this returns: a rename then puts it in its place.
 * @returns where it lies
 * @throws the system's error for a disk fault
 */
export async function writeSynced(
  temporary: Folder,
  name: string,
  text: string,
): Promise<Buffer | string> {
  const place = temporary.at(name);
  const file = await open(place, WRITE, 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  return place;
}
