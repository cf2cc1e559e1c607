import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { classesOf, ofClass } from '../verdict.ts';
import type { PerClass, Verdict } from '../verdict.ts';
import type { Folder } from './folder.ts';
import { idOf, isKey } from './message.ts';
import type { QueueEntry, Stamp } from './message.ts';
import type { Queue } from './queue.ts';

/**
 * Post counts: `posts/VERDICT/KEY` of the state dir says how often a message of the queue was posted
 * without a proof, so that a restart doesn't begin to count anew. Only the few messages that rspamd
 * doesn't recognise at once have such a file, and only while they lie in the queue; it counts for the
 * very file that it was written for.
 */
export class PostCounts {
  readonly #folders: PerClass<Folder>;
  readonly #temporary: Folder;
  readonly #counts = new Map<string, { readonly posts: number; readonly file: string }>();

  /**
   * Reads what an earlier process left, and removes what is of no use any more.
   * @throws the system's error for a disk fault
   */
  constructor(folders: PerClass<Folder>, temporary: Folder, queue: Queue) {
    this.#folders = folders;
    this.#temporary = temporary;
    for (const verdict of classesOf(folders)) {
      for (const { rawName } of [...ofClass(folders, verdict).list()]) {
        this.#restore(verdict, rawName, queue);
      }
    }
  }

  /** How often the entry was posted without a proof, as far as was recorded. */
  of({ verdict, key, stamp }: QueueEntry): number {
    const count = this.#counts.get(idOf(verdict, key));
    return count?.file === fileOf(stamp) ? count.posts : 0;
  }

  /** @throws the system's error for a disk fault */
  record({ verdict, key, stamp }: QueueEntry, posts: number): void {
    const file = fileOf(stamp);
    this.#counts.set(idOf(verdict, key), { posts, file });
    const temporary = this.#temporary.at(`${key}.json`);
    writeFileSync(temporary, `${posts} ${file}\n`, { mode: 0o600 });
    renameSync(temporary, ofClass(this.#folders, verdict).at(key));
  }

  /** The entry has left the queue. */
  forget({ verdict, key }: QueueEntry): void {
    if (this.#counts.delete(idOf(verdict, key))) ofClass(this.#folders, verdict).removeFile(key);
  }

  #restore(verdict: Verdict, name: string, queue: Queue): void {
    const folder = ofClass(this.#folders, verdict);
    if (!isKey(name) || folder.lstat(name)?.isFile() !== true) return;
    // Nothing of what a power failure cut off fits.
    const text = readFileSync(folder.at(name), 'utf8');
    const [, posts, file] = /^(\d+) (\d+ \d+ -?\d+)\n$/.exec(text) ?? [];
    const entry = queue.find(verdict, name);
    if (file !== undefined && entry !== undefined && file === fileOf(entry.stamp)) {
      this.#counts.set(idOf(verdict, name), { posts: Number(posts), file });
    } else {
      folder.removeFile(name);
    }
  }
}

/** The file that is counted; the number of its device may be another one after the next boot. */
function fileOf({ ino, size, mtimeNs }: Stamp): string {
  return `${ino} ${size} ${mtimeNs}`;
}
