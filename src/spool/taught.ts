import {
  chmodSync,
  readFileSync,
  readlinkSync,
  renameSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { gunzip, gunzipSync, gzip, gzipSync } from 'node:zlib';
import { errnoOf, ifAllowed, isBug } from '../errors.ts';
import { isClassName } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';
import { yieldIfDue } from '../yield-if-due.ts';
import type { Folder } from './folder.ts';

/**
 * Taught messages: `taught/KEY` of the state dir holds the bytes and the verdict that were last taught
 * under a key, for a filter that can take a verdict back only by the very bytes: a line with the
 * verdict, then gzip. The filter knows copies of a message under several keys as one: the link
 * `.id-IDENTITY` names the key under which such a message was taught last. As long as the file may be
 * written to, the filter may still have to carry out what it was told of the message; with the sticky
 * bit, that it is to forget it.
 *
 * A file is whole or not there: it is made elsewhere and renamed, and what a power failure left of it
 * doesn't pass gzip's checksum. Nothing is in memory but two sums, and for a pruning a sum for each
 * hour. A fault of the disk is told, and then as if the message were not kept: that costs a count in the
 * filter's memory, never a verdict.
 */
export interface TaughtMessagesOptions {
  readonly folder: Folder;
  /** Where files are made before they get their name; on the same file system. */
  readonly temporary: Folder;
  /** What two messages share that are one to the filter; fit for a name. @defaultValue nothing */
  readonly identityOf?: (body: Buffer) => string | undefined;
  /** Days that a message is kept. @defaultValue 30 */
  readonly days?: number;
  /** Bytes on disk in all; may be passed by an eighth between two prunings. @defaultValue 256 MiB */
  readonly maxBytes?: number;
  /** A message larger than that is not kept. @defaultValue 64 MiB */
  readonly maxMessageBytes?: number;
  /** Milliseconds since the epoch. */
  readonly wall: () => number;
  /**
   * Asked before anything is removed for its age: a machine that starts with its clock years ahead must
   * not forget all. @defaultValue the clock is right
   */
  readonly isClockTrusted?: () => Promise<boolean>;
  /** Hears of a fault of the disk. */
  readonly onFault?: (error: unknown) => void;
  /** Hears of each message that is kept, which shows that the disk works. */
  readonly onKept?: () => void;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** What a file takes on most file systems. */
const BLOCK_BYTES = 4_096;
/** Part of `maxBytes` that may come in between two prunings. */
const SLACK = 8;
const SETTLED = 0o400;
const UNSETTLED = 0o200;
const FORGETTING = 0o1000;
/** Of a class. */
const LONGEST_NAME = 32;
/** The fastest; a message of 7 KB takes 0.1 ms, and 3 KB on disk. */
const FAST = { level: 1, memLevel: 6 };
/** More than that is packed beside the event loop, which costs ten times as much for a small message. */
const LARGE_BYTES = 262_144;

const compressLarge = promisify<Buffer, typeof FAST, Buffer>(gzip);
const decompressLarge = promisify<Buffer, { maxOutputLength: number }, Buffer>(gunzip);

/** A message as it was last taught under a key. */
interface KeptMessage {
  readonly verdict: Verdict;
  readonly body: Buffer;
  /** The filter has this verdict of it: under no other key was the same message taught since. */
  readonly stands: boolean;
  /** Where the filter may still have to carry something out. */
  readonly unsettled?: {
    /** When it was told: milliseconds since the epoch. */
    readonly since: number;
    /** It was told to forget the message. */
    readonly forgets: boolean;
  };
}

export class TaughtMessages {
  readonly #options: Required<TaughtMessagesOptions>;
  /** Bytes that came in since the last pruning. */
  #added = 0;
  /** Bytes that the last pruning left. */
  #left = 0;
  #pruning: Promise<void> | undefined;

  constructor(options: TaughtMessagesOptions) {
    this.#options = {
      days: 30,
      maxBytes: 268_435_456,
      maxMessageBytes: 67_108_864,
      identityOf: () => undefined,
      isClockTrusted: () => Promise.resolve(true),
      onFault: () => undefined,
      onKept: () => undefined,
      ...options,
    };
  }

  /** What was last taught under the key; `undefined` where that isn't known. Never rejects. */
  async last(key: string): Promise<KeptMessage | undefined> {
    const { folder, maxMessageBytes } = this.#options;
    try {
      const file = read(folder, key, maxMessageBytes + BLOCK_BYTES);
      const verdict = file && verdictOf(file.bytes);
      if (file === undefined || verdict === undefined) return undefined;
      const packed = file.bytes.subarray(verdict.length + 1);
      const body = await decompress(packed, maxMessageBytes);
      const link = this.#linkOf(body);
      const owner = link === undefined ? undefined : readLink(folder, link);
      const stands = owner === undefined || owner === key;
      if ((file.mode & UNSETTLED) === 0) return { verdict, body, stands };
      const forgets = (file.mode & FORGETTING) !== 0;
      return { verdict, body, stands, unsettled: { since: file.mtimeMs, forgets } };
    } catch (error) {
      this.#tell(error);
      return undefined;
    }
  }

  /** Keeps a message, unsettled, in the place of what was kept of the key. Never rejects. */
  async put(key: string, verdict: Verdict, body: Buffer): Promise<void> {
    const { folder, temporary, maxBytes, maxMessageBytes, onKept } = this.#options;
    if (body.length > maxMessageBytes) return;
    // No key begins with a dot.
    const name = `.${path.basename(folder.path)}-${key}`;
    try {
      const packed = await compress(body);
      temporary.removeFile(name); // what a crash left
      const bytes = Buffer.concat([Buffer.from(`${verdict}\n`), packed]);
      writeFileSync(temporary.at(name), bytes, { flag: 'wx', mode: 0o600 });
      renameSync(temporary.at(name), folder.at(key));
      this.#claim(key, body, name);
      this.#added += onDisk(packed.length);
      const isTooMuch = this.#added > maxBytes / SLACK && this.#added + this.#left > maxBytes;
      if (isTooMuch) await this.prune();
      onKept();
    } catch (error) {
      this.#tell(error);
      ifAllowed(() => temporary.removeFile(name));
    }
  }

  /** The filter is told to forget the message that is kept of the key: from now on it is unsettled. */
  forgetting(key: string): void {
    this.#mark(key, FORGETTING | UNSETTLED | SETTLED, true);
  }

  /** The filter has carried out all that it was told of the message that is kept of the key. */
  settle(key: string): void {
    this.#mark(key, SETTLED);
  }

  #mark(key: string, mode: number, isNow = false): void {
    const { folder, wall } = this.#options;
    try {
      if (isNow) utimesSync(folder.at(key), wall() / 1_000, wall() / 1_000);
      chmodSync(folder.at(key), mode);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') this.#tell(error);
    }
  }

  /**
   * Removes what is too old, and the oldest of what is too much. It reads the folder once or twice,
   * which is a chore for every hour. One that is called meanwhile is the same.
   * @throws the system's error for a disk fault
   */
  async prune(): Promise<void> {
    this.#pruning ??= this.#prune().finally(() => (this.#pruning = undefined));
    await this.#pruning;
  }

  async #prune(): Promise<void> {
    const { folder, days, maxBytes, wall, isClockTrusted } = this.#options;
    this.#added = 0;
    const oldest = wall() - days * DAY_MS;
    let mayRemove: boolean | undefined;
    /** Bytes on disk, by the hour since the epoch in which they were taught. */
    const hours = new Map<number, number>();
    for await (const { name, mtimeMs, bytes } of this.#files()) {
      if (mtimeMs < oldest && (mayRemove ??= await isClockTrusted())) folder.removeFile(name);
      else hours.set(hourOf(mtimeMs), (hours.get(hourOf(mtimeMs)) ?? 0) + bytes);
    }
    const total = [...hours.values()].reduce((sum, bytes) => sum + bytes, 0);
    this.#left = Math.min(total, maxBytes);
    if (total > maxBytes) await this.#removeOldest(total - maxBytes, hours);
  }

  /** Removes at least so many bytes, whole hours first; of the last one only as much as is needed. */
  async #removeOldest(excess: number, hours: ReadonlyMap<number, number>): Promise<void> {
    let last = 0;
    let before = 0;
    for (const [hour, bytes] of [...hours].sort(([a], [b]) => a - b)) {
      last = hour;
      if (before + bytes >= excess) break;
      before += bytes;
    }
    let wanted = excess - before;
    for await (const { name, mtimeMs, bytes } of this.#files()) {
      if (hourOf(mtimeMs) > last || (hourOf(mtimeMs) === last && wanted <= 0)) continue;
      if (hourOf(mtimeMs) === last) wanted -= bytes;
      this.#options.folder.removeFile(name);
    }
  }

  /** From now on the message that these bytes are is the key's. `name` is free among the temporary files. */
  #claim(key: string, body: Buffer, name: string): void {
    const { folder, temporary } = this.#options;
    const link = this.#linkOf(body);
    if (link === undefined || readLink(folder, link) === key) return;
    symlinkSync(key, temporary.at(name));
    renameSync(temporary.at(name), folder.at(link));
  }

  /** No key begins with a dot. */
  #linkOf(body: Buffer): string | undefined {
    const identity = this.#options.identityOf(body);
    return identity === undefined ? undefined : `.id-${identity}`;
  }

  /** All files and links, one at a time; lets others have their turn. */
  async *#files() {
    const { folder } = this.#options;
    for (const { rawName: name } of folder.list()) {
      const stats = folder.lstat(name);
      const isFile = stats?.isFile() === true;
      if (isFile || stats?.isSymbolicLink() === true) {
        const bytes = isFile ? onDisk(Number(stats.size)) : 0;
        yield { name, mtimeMs: Number(stats.mtimeMs), bytes };
      }
      await yieldIfDue();
    }
  }

  /** A file that isn't whole is no fault of the disk, and nothing that could be mended. */
  #tell(error: unknown): void {
    if (error instanceof Error && 'code' in error && /^(Z_|ERR_)/.test(String(error.code))) return;
    if (isBug(error)) throw error;
    this.#options.onFault(error);
  }
}

function compress(body: Buffer): Buffer | Promise<Buffer> {
  return body.length > LARGE_BYTES ? compressLarge(body, FAST) : gzipSync(body, FAST);
}

function decompress(packed: Buffer, maxOutputLength: number): Buffer | Promise<Buffer> {
  if (packed.length > LARGE_BYTES) return decompressLarge(packed, { maxOutputLength });
  return gunzipSync(packed, { maxOutputLength });
}

/** @returns `undefined` where there is no regular file of that size or less */
function read(folder: Folder, name: string, maxBytes: number) {
  const stats = folder.lstat(name);
  if (stats?.isFile() !== true || stats.size > maxBytes) return undefined;
  const mtimeMs = Number(stats.mtimeNs) / 1e6;
  return { bytes: readFileSync(folder.at(name)), mode: Number(stats.mode), mtimeMs };
}

/** @returns `undefined` where there is no link */
function readLink(folder: Folder, name: string): string | undefined {
  try {
    return readlinkSync(folder.at(name), 'latin1');
  } catch (error) {
    if (['ENOENT', 'EINVAL'].includes(errnoOf(error) ?? '')) return undefined;
    throw error;
  }
}

function verdictOf(file: Buffer): Verdict | undefined {
  const [name, rest] = file.toString('latin1', 0, LONGEST_NAME + 1).split('\n', 2);
  return name !== undefined && rest !== undefined && isClassName(name) ? name : undefined;
}

function hourOf(epochMs: number): number {
  return Math.floor(epochMs / HOUR_MS);
}

function onDisk(bytes: number): number {
  return Math.ceil((bytes + 1) / BLOCK_BYTES) * BLOCK_BYTES;
}
