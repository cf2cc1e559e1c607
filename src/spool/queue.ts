import { fstatSync, openSync, read, readSync, renameSync } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { promisify } from 'node:util';
import { errnoOf } from '../errors.ts';
import { classesOf, ofClass, othersOf, takesPrecedence } from '../verdict.ts';
import type { PerClass, Verdict } from '../verdict.ts';
import { READ_SAFELY, closeUnwritten, listByTurns } from './folder.ts';
import type { Folder } from './folder.ts';
import { bearsFinishingMark, entryOf, sameStamp } from './message.ts';
import type { QueueEntry } from './message.ts';

/**
 * The queue: `queue/VERDICT/KEY` of the state dir. It belongs to the daemon alone; only the owner
 * writes it. At most one `queue/VERDICT/KEY` of a KEY exists.
 */

/** What reading an entry gave. */
export type ReadResult =
  | { readonly kind: 'body'; readonly body: Buffer }
  /** It is gone: the verdict was withdrawn. */
  | { readonly kind: 'gone' }
  /** Somebody writes on into it: it has to settle again. */
  | { readonly kind: 'changed'; readonly entry: QueueEntry }
  /** It can't be taught, whatever rspamd says: quarantine it unread. */
  | { readonly kind: 'unfit'; readonly reason: string };

/** An entry that a scan came upon. */
export interface FoundEntry {
  readonly entry: QueueEntry;
  /** It bears kopano-spamd's finishing mark. */
  readonly marked: boolean;
}

/** What is different about an entry's file; `undefined` when nothing is. */
export type CheckResult = Exclude<ReadResult, { readonly kind: 'body' | 'unfit' }> | undefined;

export class Queue {
  readonly #folders: PerClass<Folder>;
  readonly #maxBytes: number;

  constructor(folders: PerClass<Folder>, options: { readonly maxBytes: number }) {
    this.#folders = folders;
    this.#maxBytes = options.maxBytes;
  }

  /** All classes. */
  get verdicts(): readonly Verdict[] {
    return classesOf(this.#folders);
  }

  folder(verdict: Verdict): Folder {
    return ofClass(this.#folders, verdict);
  }

  /** The entry as it lies there now. */
  find(verdict: Verdict, key: string): QueueEntry | undefined {
    const stats = this.folder(verdict).lstat(key);
    return stats === undefined ? undefined : entryOf(verdict, key, stats);
  }

  /** Removes whatever the queue holds of `key`; says which verdicts that were. */
  removeKey(key: string): Verdict[] {
    // A folder that a swap brought in stays until an attempt quarantines it.
    return this.verdicts.filter((verdict) => this.folder(verdict).removeFile(key));
  }

  /** The newer of what the queue holds of a key; there is normally one at most. */
  newest(key: string): QueueEntry | undefined {
    const found = this.verdicts.flatMap((verdict) => this.find(verdict, key) ?? []);
    return found.sort((a, b) => (isNewer(a, b) ? -1 : 1))[0];
  }

  /**
   * Takes a file into the queue by one rename.
   * @returns the entry, or `undefined` when the file was gone
   * @throws the system's error for everything else
   */
  adopt(from: Folder, rawName: string, verdict: Verdict, key: string): QueueEntry | undefined {
    try {
      renameSync(from.at(rawName), this.folder(verdict).at(key));
    } catch (error) {
      // ENOENT may also mean that the queue itself is gone.
      if (errnoOf(error) === 'ENOENT' && from.lstat(rawName) === undefined) return undefined;
      throw error;
    }
    return this.find(verdict, key);
  }

  /**
   * Reads an entry, trusting nothing: it must be a regular file with one link and of allowed size,
   * and bear the entry's stamp. It is looked at twice: what is no regular file is not even opened,
   * because a device could act on that, and the stamp of what was opened, taken after the last byte,
   * shows that it is this file and that nobody wrote into it before or meanwhile.
   * @throws the system's error for a disk fault
   */
  async read(entry: QueueEntry): Promise<ReadResult> {
    const { verdict, key } = entry;
    const folder = this.folder(verdict);
    const found = folder.lstat(key);
    if (found === undefined) return { kind: 'gone' };
    if (!found.isFile()) return NO_FILE;
    if (found.nlink > 1n) return { kind: 'unfit', reason: 'the file has several hard links' };
    const changed = changeOf(entry, found);
    if (changed !== undefined) return changed;
    if (found.size > BigInt(this.#maxBytes)) {
      const reason = `over-size: ${found.size} bytes, LEARN_MAX_BYTES is ${this.#maxBytes}`;
      return { kind: 'unfit', reason };
    }
    let file: number;
    try {
      file = openSync(folder.at(key), READ_SAFELY);
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return { kind: 'gone' };
      if (errnoOf(error) === 'ELOOP') return NO_FILE;
      throw error;
    }
    try {
      const body = await readWhole(file, entry.bytes);
      const after = fstatSync(file, { bigint: true });
      if (body === undefined) return { kind: 'changed', entry: entryOf(verdict, key, after) };
      return changeOf(entry, after) ?? { kind: 'body', body };
    } finally {
      closeUnwritten(file);
    }
  }

  /** What is different about the entry's file by now; `undefined` when nothing is. */
  check(entry: QueueEntry): CheckResult {
    const stats = this.folder(entry.verdict).lstat(entry.key);
    return stats === undefined ? { kind: 'gone' } : changeOf(entry, stats);
  }

  /**
   * Lists the queue once, all verdicts by turns. What comes and goes meanwhile may be in it.
   * Keeps its folders open until it is finished or returned.
   * @param isKnown names what needs no look; `undefined` stands for it
   */
  *scan(
    isKnown: (key: string) => boolean = () => false,
  ): Generator<FoundEntry | undefined, void, undefined> {
    const folders = this.verdicts.map((verdict) => ({ verdict, folder: this.folder(verdict) }));
    const onFault = (_verdict: Verdict, error: unknown): never => {
      throw error;
    };
    for (const { verdict, rawName: key } of listByTurns(folders, onFault)) {
      yield isKnown(key) ? undefined : this.#lookAt(verdict, key);
    }
  }

  #lookAt(verdict: Verdict, key: string): FoundEntry | undefined {
    const others = othersOf(this.verdicts, verdict);
    if (others.some((other) => this.folder(other).lstat(key) !== undefined)) this.#mendTwins(key);
    const stats = this.folder(verdict).lstat(key);
    if (stats === undefined) return undefined;
    return { entry: entryOf(verdict, key, stats), marked: bearsFinishingMark(stats.mode) };
  }

  /**
   * Where several verdicts of a key lie in the queue, which an interrupted restore from a backup can
   * bring about, the newest mtime stays, on a tie ham.
   */
  #mendTwins(key: string): void {
    const newest = this.newest(key);
    for (const verdict of newest === undefined ? [] : othersOf(this.verdicts, newest.verdict)) {
      this.folder(verdict).removeFile(key);
    }
  }
}

function isNewer(a: QueueEntry, b: QueueEntry): boolean {
  return takesPrecedence(a.verdict, a.stamp.mtimeNs, b.verdict, b.stamp.mtimeNs);
}

const NO_FILE: ReadResult = { kind: 'unfit', reason: 'not a regular file' };

function changeOf({ verdict, key, stamp }: QueueEntry, stats: BigIntStats): CheckResult {
  if (sameStamp(stats, stamp)) return undefined;
  return { kind: 'changed', entry: entryOf(verdict, key, stats) };
}

const readBeside = promisify(read);
/**
 * More than that is read beside the event loop, which takes ten times the CPU time that a small file
 * takes on it: 100 and 8 us, the opening and the looks included.
 */
const LARGE_BYTES = 262_144;

async function readWhole(file: number, size: number): Promise<Buffer | undefined> {
  // Not from Node's shared pool: a body may live as long as a proof takes.
  const body = Buffer.allocUnsafeSlow(size);
  let filled = 0;
  while (filled < size) {
    const left = size - filled;
    const count =
      left > LARGE_BYTES
        ? (await readBeside(file, body, filled, left, filled)).bytesRead
        : readSync(file, body, filled, left, filled);
    if (count === 0) return undefined;
    filled += count;
  }
  return body;
}
