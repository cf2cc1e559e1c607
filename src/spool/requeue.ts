import { classesOf, ofClass, othersOf, takesPrecedence } from '../verdict.ts';
import type { PerClass, Verdict } from '../verdict.ts';
import { yieldIfDue } from '../yield-if-due.ts';
import type { SpoolContext } from './context.ts';
import { FAULTED } from './disk-faults.ts';
import type { Folder } from './folder.ts';
import { STAGED_PREFIX, decodeKey, isKey } from './message.ts';

/**
 * Requeueing: what an operator wants taken back into the queue. Only the owner writes the queue, so
 * `quarantine release` moves a message to `release/VERDICT/KEY`, and the owner takes it from there:
 * at its start before anything is enqueued or posted, then every few seconds.
 *
 * A released verdict is older than any other of its key. Where another one lies in the queue, or is
 * staged for it, the released one is removed. A file in the drop directory holds it back, and removes
 * it when that file is enqueued.
 */
interface RequeueOptions extends Pick<
  SpoolContext,
  'queue' | 'quarantine' | 'drop' | 'locks' | 'events' | 'faults'
> {
  readonly folders: PerClass<Folder>;
  /** Once it is aborted nothing more is taken. */
  readonly ending: AbortSignal;
}

export class Requeue {
  readonly #options: RequeueOptions;
  /** Something stayed here when it was last listed, or that has not been done yet. */
  #mayHold = true;

  constructor(options: RequeueOptions) {
    this.#options = options;
  }

  /**
   * Takes what may be taken now. A disk fault is noted and retried; nothing is lost by it.
   * @param progress is called now and then while there is more
   * @returns how many stay for later
   */
  async take(progress: () => void = () => undefined): Promise<number> {
    const { folders, faults, events, ending } = this.#options;
    let stay = 0;
    let isWhole = true;
    for (const verdict of classesOf(folders)) {
      const { path } = ofClass(folders, verdict);
      if (ending.aborted || faults.pause(path) > 0) {
        isWhole = false;
        continue;
      }
      const stayed = await faults.guard(path, () => this.#takeAll(verdict, progress));
      stay += stayed === FAULTED ? 1 : stayed;
      if (stayed === FAULTED) events.rescan(); // one may have come into the queue all the same
    }
    this.#mayHold = stay > 0 || !isWhole || ending.aborted;
    return stay;
  }

  /** Whether there is something of a key, of whichever verdict. */
  has(key: string): boolean {
    if (this.#isEmpty) return false;
    return Object.values(this.#options.folders).some((each) => each.lstat(key) !== undefined);
  }

  /** A newer verdict of this key takes its place. */
  removeKey(key: string): void {
    const { folders } = this.#options;
    if (this.#isEmpty) return;
    for (const verdict of classesOf(folders)) {
      if (ofClass(folders, verdict).lstat(key) !== undefined) this.#remove(verdict, key);
    }
  }

  /** What comes here comes out of the quarantine; every pickup asks. */
  get #isEmpty(): boolean {
    return !this.#mayHold && this.#options.quarantine.isEmpty;
  }

  async #takeAll(verdict: Verdict, progress: () => void): Promise<number> {
    const { folders, ending } = this.#options;
    let stay = 0;
    for (const { rawName } of ofClass(folders, verdict).list()) {
      if (isKey(rawName) && !this.#takeOne(verdict, rawName)) stay += 1;
      if (await yieldIfDue()) progress();
      if (ending.aborted) break; // its folder may be closed by now
    }
    return stay;
  }

  /** Takes one, or removes it; false when it stays for later. No call of ours comes in between. */
  #takeOne(verdict: Verdict, key: string): boolean {
    const { folders, queue, quarantine, locks, events } = this.#options;
    if (this.#isOutdated(verdict, key)) {
      this.#remove(verdict, key);
      return true;
    }
    if (this.#isDropped(key) || locks.isKeyHeld(key)) return false;
    // Before the message goes: what a kill leaves of it is looked at again.
    quarantine.forgetReason(verdict, key);
    const entry = queue.adopt(ofClass(folders, verdict), key, verdict, key);
    // It is new to whoever learns it, and has to settle.
    if (entry !== undefined) events.enqueued(entry, false);
    return true;
  }

  /** Whether there is a later verdict of this key that is known to be complete. */
  #isOutdated(verdict: Verdict, key: string): boolean {
    const { folders, queue, drop } = this.#options;
    if (queue.newest(key) !== undefined) return true;
    const staged = STAGED_PREFIX + key;
    if (drop.folders.some(({ folder }) => folder.lstat(staged) !== undefined)) return true;
    const mine = ofClass(folders, verdict).lstat(key);
    if (mine === undefined) return false;
    return othersOf(classesOf(folders), verdict).some((other) => {
      const twin = ofClass(folders, other).lstat(key);
      return twin !== undefined && takesPrecedence(other, twin.mtimeNs, verdict, mine.mtimeNs);
    });
  }

  /** Whether the drop directory holds, or may hold, a verdict of this key. A name that was cut is not found. */
  #isDropped(key: string): boolean {
    const { drop } = this.#options;
    if (drop.verdicts.some((verdict) => drop.isUncertain(verdict))) return true;
    const rawName = decodeKey(key);
    if (rawName === undefined) return false;
    return drop.folders.some(({ folder }) => {
      const stats = folder.lstat(rawName);
      return stats?.isFile() === true && stats.size > 0n;
    });
  }

  #remove(verdict: Verdict, key: string): void {
    const { folders, quarantine, events } = this.#options;
    quarantine.forgetReason(verdict, key);
    if (ofClass(folders, verdict).removeFile(key)) events.outdated(verdict, key);
  }
}
