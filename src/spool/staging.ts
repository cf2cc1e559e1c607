import { constants, renameSync, unlinkSync } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { errnoOf } from '../errors.ts';
import type { ClassFolder } from './drop-directory.ts';
import type { Folder } from './folder.ts';
import { sameStamp, stampOf } from './message.ts';
import type { QueueEntry, Verdict } from './message.ts';
import type { Queue } from './queue.ts';

/**
 * The way into a queue on another file system. The file is first renamed inside its class folder to
 * `.learnd-KEY`, which takes it from the writer in one step, then copied, fsynced, renamed into the
 * queue and unlinked. A `.learnd-KEY` counts as a queue file; what a crash left half-way is found
 * by its name and carried over again.
 */
const PREFIX = '.learnd-';
// What encodeName makes, so that nothing else in the class folder is taken for a staged file.
const STAGED = /^\.learnd-((?!probe-)[A-Za-z0-9._=@+%~-]{1,200})$/;

/** Raised when a staged file is still being written; it is carried over later. */
export class StillWrittenError extends Error {
  override readonly name = 'StillWrittenError';
}

export function stage(from: ClassFolder, rawName: string, key: string): boolean {
  try {
    renameSync(from.folder.at(rawName), from.folder.at(PREFIX + key));
    return true;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' && from.folder.lstat(rawName) === undefined) return false;
    throw error;
  }
}

/** The keys that are staged in a class folder. */
export function stagedKeys(from: ClassFolder): string[] {
  const keys: string[] = [];
  for (const { rawName } of from.folder.list()) {
    const key = STAGED.exec(rawName)?.[1];
    if (key !== undefined) keys.push(key);
  }
  return keys;
}

/** Removes a staged file that a newer verdict supersedes; true when there was one. */
export function removeStaged(from: ClassFolder | undefined, key: string): boolean {
  if (from === undefined || from.folder.lstat(PREFIX + key) === undefined) return false;
  unlinkSync(from.folder.at(PREFIX + key));
  return true;
}

export interface CarryOptions {
  readonly from: ClassFolder;
  readonly verdict: Verdict;
  readonly key: string;
  readonly temporary: Folder;
  readonly queue: Queue;
  readonly maxBytes: number;
}

/**
 * Carries a staged file over into the queue. Safe to repeat at any point.
 * @returns the entry; `undefined` when there is nothing (more) to carry; `unfit` for what is no
 *   regular file of allowed size, which stays where it is
 * @throws {StillWrittenError} when it changed during the copy
 * @throws the system's error for a local fault
 */
export async function carry(options: CarryOptions): Promise<QueueEntry | 'unfit' | undefined> {
  const { from, verdict, key, temporary, queue } = options;
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK, O_WRONLY, O_CREAT, O_TRUNC } = constants;
  const staged = from.folder.at(PREFIX + key);
  const found = from.folder.lstat(PREFIX + key);
  if (found === undefined) return undefined;
  if (!found.isFile() || found.nlink > 1n || found.size > BigInt(options.maxBytes)) return 'unfit';
  const source = await open(staged, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const before = await source.stat({ bigint: true });
    const copy = await open(
      temporary.at(key),
      O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW,
      Number(before.mode & 0o777n),
    );
    try {
      await copyAll(source, copy, Number(before.size));
      await copy.utimes(before.atime, before.mtime); // the archive shows when it was judged
      await copy.sync();
    } catch (error) {
      unlinkSync(temporary.at(key)); // half a copy would go on filling a full disk
      throw error;
    } finally {
      await copy.close();
    }
    const after = await source.stat({ bigint: true });
    if (!sameStamp(stampOf(before), stampOf(after))) throw new StillWrittenError(key);
  } finally {
    await source.close();
  }
  const entry = queue.adopt(temporary, key, verdict, key);
  await syncFolder(queue.folder(verdict));
  unlinkSync(staged);
  return entry;
}

async function copyAll(source: FileHandle, copy: FileHandle, size: number): Promise<void> {
  const buffer = Buffer.allocUnsafeSlow(Math.max(1, Math.min(size, 1 << 20)));
  for (let position = 0; ;) {
    const { bytesRead } = await source.read(buffer, 0, buffer.length, position);
    if (bytesRead === 0) return;
    // Not more than was there at the start: a file that never stops growing would fill the disk.
    if (position + bytesRead > size) throw new StillWrittenError('the file grows');
    await copy.write(buffer, 0, bytesRead);
    position += bytesRead;
  }
}

/** Makes renames in a folder durable. */
export async function syncFolder(folder: Folder): Promise<void> {
  const handle = await open(folder.at('.'), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
