import { renameSync } from 'node:fs';
import { classesOf, ofClass } from '../verdict.ts';
import type { PerClass, Verdict } from '../verdict.ts';
import type { Folder } from './folder.ts';
import type { QueueEntry } from './message.ts';
import type { CheckResult, Queue } from './queue.ts';
import { writeSynced } from './durable.ts';

/**
 * The quarantine: `quarantine/VERDICT/NAME` with its reason in `NAME.json`. A message comes here
 * when it is its own fault that rspamd can't take it, and leaves by an operator's word, or when a
 * newer verdict supersedes it.
 */

/** What `NAME.json` holds. Never subject, addresses or body. */
export interface QuarantineReason {
  readonly name: string;
  readonly verdict: Verdict;
  /** Why, in words for the operator. */
  readonly reason: string;
  /** Failures that were charged to the message. */
  readonly attempts: number;
  readonly messageId?: string;
  /** ISO 8601. */
  readonly quarantinedAt: string;
}

export class Quarantine {
  readonly #folders: PerClass<Folder>;
  readonly #temporary: Folder;
  #isEmpty: boolean;

  constructor(folders: PerClass<Folder>, temporary: Folder) {
    this.#folders = folders;
    this.#temporary = temporary;
    this.#isEmpty = Object.values(folders).every((folder) => {
      const list = folder.list();
      const isEmpty = list.next().done === true;
      list.return();
      return isEmpty;
    });
  }

  /** Nothing was here at the start or came since; every pickup asks. */
  get isEmpty(): boolean {
    return this.#isEmpty;
  }

  /**
   * Moves an entry here. The reason is written first: no message lies here without one.
   * @returns what is different about the file, which then stays; `undefined` when it is done
   * @throws the system's error for a disk fault; the entry is then still in the queue
   */
  async put(entry: QueueEntry, queue: Queue, reason: QuarantineReason): Promise<CheckResult> {
    this.#isEmpty = false;
    const folder = ofClass(this.#folders, entry.verdict);
    const reasonName = `${entry.key}.json`;
    const text = `${JSON.stringify(reason, undefined, 2)}\n`;
    const written = await writeSynced(this.#temporary, reasonName, text);
    const different = queue.check(entry);
    if (different !== undefined) {
      this.#temporary.removeFile(reasonName);
      return different;
    }
    renameSync(written, folder.at(reasonName));
    // A rename onto another link of the same file does nothing.
    folder.removeFile(entry.key);
    renameSync(queue.folder(entry.verdict).at(entry.key), folder.at(entry.key));
    return undefined;
  }

  /** Removes a reason whose message has left: what an interrupted step leaves behind. */
  forgetReason(verdict: Verdict, key: string): void {
    const folder = ofClass(this.#folders, verdict);
    if (folder.lstat(key) === undefined) folder.removeFile(`${key}.json`);
  }

  /** Whether there is something of a key, of whichever verdict. */
  has(key: string): boolean {
    const folders = Object.values(this.#folders);
    return !this.#isEmpty && folders.some((folder) => folder.lstat(key) !== undefined);
  }

  /** Removes what is here of a key. */
  removeKey(key: string): void {
    if (this.#isEmpty) return;
    for (const verdict of classesOf(this.#folders)) {
      ofClass(this.#folders, verdict).removeFile(key);
      this.forgetReason(verdict, key); // also where a kill left nothing else
    }
  }
}
