import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { Folder } from './folder.ts';
import { isKey } from './message.ts';
import { VERDICTS } from '../verdict.ts';
import type { QueueEntry, Stamp } from './message.ts';
import type { Verdict } from '../verdict.ts';
import type { Queue } from './queue.ts';

/**
 * Post counts: `posts/VERDICT/KEY` of the state dir says how often a message of the queue was posted
 * without a proof, so that a restart doesn't begin to count anew. Only the few messages that rspamd
 * doesn't recognise at once have such a file, and only while they lie in the queue; it counts for the
 * very file that it was written for.
 */
export class PostCounts {
  readonly #folders: Readonly<Record<Verdict, Folder>>;
  readonly #temporary: Folder;
  readonly #counts = new Map<string, PostCount>();

  /**
   * Reads what an earlier process left, and removes what is of no use any more.
   * @throws the system's error for a local fault
   */
  constructor(folders: Readonly<Record<Verdict, Folder>>, temporary: Folder, queue: Queue) {
    this.#folders = folders;
    this.#temporary = temporary;
    for (const verdict of VERDICTS) {
      for (const { rawName } of [...folders[verdict].list()])
        this.#restore(verdict, rawName, queue);
    }
  }

  /** How often the entry was posted without a proof, as far as was recorded. */
  of({ verdict, key, stamp }: QueueEntry): number {
    const count = this.#counts.get(nameOf(verdict, key));
    return count !== undefined && isOf(count, stamp) ? count.posts : 0;
  }

  /** @throws the system's error for a local fault */
  record({ verdict, key, stamp }: QueueEntry, posts: number): void {
    const count = { posts, ino: stamp.ino, size: stamp.size, mtimeNs: stamp.mtimeNs };
    this.#counts.set(nameOf(verdict, key), count);
    const temporary = this.#temporary.at(`${key}.json`);
    writeFileSync(temporary, serialize(count), { mode: 0o600 });
    renameSync(temporary, this.#folders[verdict].at(key));
  }

  /** The entry has left the queue. */
  forget({ verdict, key }: QueueEntry): void {
    if (this.#counts.delete(nameOf(verdict, key))) this.#folders[verdict].removeFile(key);
  }

  #restore(verdict: Verdict, name: string, queue: Queue): void {
    const folder = this.#folders[verdict];
    if (!isKey(name) || folder.lstat(name)?.isFile() !== true) return;
    const count = parse(readFileSync(folder.at(name), 'utf8'));
    const entry = queue.find(verdict, name);
    if (count !== undefined && entry !== undefined && isOf(count, entry.stamp)) {
      this.#counts.set(nameOf(verdict, name), count);
    } else {
      folder.removeFile(name);
    }
  }
}

/** The count of one file; the number of its device may be another one after the next boot. */
interface PostCount extends Omit<Stamp, 'dev'> {
  readonly posts: number;
}

function isOf(count: PostCount, stamp: Stamp): boolean {
  return count.ino === stamp.ino && count.size === stamp.size && count.mtimeNs === stamp.mtimeNs;
}

function nameOf(verdict: Verdict, key: string): string {
  return `${verdict}/${key}`;
}

function serialize({ posts, ino, size, mtimeNs }: PostCount): string {
  return `${[posts, ino, size, mtimeNs].join(' ')}\n`;
}

/** `undefined` for what a power failure cut off. */
function parse(text: string): PostCount | undefined {
  const [posts, ino, size, mtimeNs] =
    /^(\d+) (\d+) (\d+) (-?\d+)\n$/.exec(text)?.slice(1).map(BigInt) ?? [];
  if (posts === undefined || ino === undefined || size === undefined || mtimeNs === undefined) {
    return undefined;
  }
  return { posts: Number(posts), ino, size, mtimeNs };
}
