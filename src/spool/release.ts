import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import type { DropDirectory } from './drop-directory.ts';
import type { Faults } from './faults.ts';
import type { Folder } from './folder.ts';
import { STUCK_AFTER_MS } from './gate.ts';
import { decodeKey, encodeName, isKey } from './message.ts';
import { VERDICTS, newerVerdict, otherVerdict } from '../verdict.ts';
import type { QueueEntry } from './message.ts';
import type { Verdict } from '../verdict.ts';
import type { Quarantine } from './quarantine.ts';
import type { Queue } from './queue.ts';
import { PREFIX } from './staging.ts';

/**
 * Releases: what an operator wants taken back into the queue. Only the owner writes the queue, so
 * `quarantine release` moves a message to `release/VERDICT/KEY`, and the owner takes it from there:
 * at its start before anything is picked up or posted, then every few seconds.
 *
 * A released verdict is older than any other of its key. Where the queue holds one, or half-way to
 * it, the released one is removed. A file in the drop directory holds it back, and removes it when
 * it is picked up; one that isn't within ten minutes no longer counts.
 */
export interface ReleasesOptions {
  readonly folders: Readonly<Record<Verdict, Folder>>;
  readonly queue: Queue;
  readonly quarantine: Pick<Quarantine, 'forgetReason'>;
  readonly drop: DropDirectory;
  readonly faults: Faults;
  readonly clock: Clock;
  /** True while a message of this key is in flight or being carried over. */
  readonly isHeld: (key: string) => boolean;
  /** A message came into the queue; it is new to whoever learns it, and has to settle. */
  readonly queued: (entry: QueueEntry) => void;
  /** What waited of this key is gone: a newer verdict takes its place. */
  readonly superseded: (verdict: Verdict, key: string) => void;
  /** A message may have come into the queue although taking it failed. */
  readonly faulted: () => void;
}

const STRETCH_MS = 10;

export class Releases {
  readonly #options: ReleasesOptions;
  /** Since when a file of the drop directory holds a key back. */
  #heldBackSince = new Map<string, number>();
  /** Whether the drop directory holds a released key that was cut, as last looked. */
  #cutKeys: ReadonlyMap<string, boolean> = new Map();
  #isStopped = false;

  constructor(options: ReleasesOptions) {
    this.#options = options;
  }

  /**
   * Takes what may be taken now. A local fault is noted and tried again; nothing is lost by it.
   * @param progress is called now and then while there is more
   * @returns how many stay for later
   */
  async take(progress: () => void = () => undefined): Promise<number> {
    const before = this.#heldBackSince;
    this.#heldBackSince = new Map();
    let stay = 0;
    let stretch = performance.now();
    for (const verdict of VERDICTS) {
      const folder = this.#options.folders[verdict];
      if (this.#options.faults.pause(folder.path) > 0) continue;
      try {
        this.#cutKeys = await this.#findCutKeys(folder);
        for (const { rawName } of folder.list()) {
          if (this.#isStopped) return stay;
          if (isKey(rawName) && !this.#look(verdict, rawName, before)) stay += 1;
          if (performance.now() - stretch < STRETCH_MS) continue;
          await nextTurn();
          progress();
          stretch = performance.now();
        }
        this.#options.faults.clear(folder.path);
      } catch (error) {
        if (this.#isStopped) return stay;
        stay += 1;
        this.#options.faults.raise(folder.path, error);
        this.#options.faulted();
      }
    }
    return stay;
  }

  /** Whether there is something of a key, of whichever verdict. */
  has(key: string): boolean {
    return VERDICTS.some((each) => this.#options.folders[each].lstat(key) !== undefined);
  }

  /** A newer verdict of this key takes its place. */
  removeKey(key: string): void {
    for (const verdict of VERDICTS) {
      if (this.#options.folders[verdict].lstat(key) !== undefined) this.#supersede(verdict, key);
    }
  }

  /** Takes nothing more; a call that is under way ends at its next message. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Takes one, or removes it; false when it stays for later. No call of ours comes in between. */
  #look(verdict: Verdict, key: string, before: ReadonlyMap<string, number>): boolean {
    const { folders, queue, quarantine, isHeld, queued } = this.#options;
    if (this.#isSuperseded(verdict, key)) {
      this.#supersede(verdict, key);
      return true;
    }
    if (this.#isHeldBack(key, before) || isHeld(key)) return false;
    // Before the message goes: what a kill leaves of it is looked at again.
    quarantine.forgetReason(verdict, key);
    const entry = queue.adopt(folders[verdict], key, verdict, key);
    if (entry !== undefined) queued(entry);
    return true;
  }

  /** Whether there is a later verdict of this key that is known to be complete. */
  #isSuperseded(verdict: Verdict, key: string): boolean {
    const { folders, queue, drop } = this.#options;
    if (queue.newest(key) !== undefined) return true;
    if (VERDICTS.some((each) => drop.get(each)?.folder.lstat(PREFIX + key) !== undefined)) {
      return true;
    }
    const mine = folders[verdict].lstat(key);
    const twin = folders[otherVerdict(verdict)].lstat(key);
    if (mine === undefined || twin === undefined) return false;
    const [spam, ham] = verdict === 'spam' ? [mine, twin] : [twin, mine];
    return newerVerdict(spam.mtimeNs, ham.mtimeNs) !== verdict;
  }

  #isHeldBack(key: string, before: ReadonlyMap<string, number>): boolean {
    if (!VERDICTS.some((verdict) => this.#dropHolds(verdict, key))) return false;
    const now = this.#options.clock.monotonic();
    const since = before.get(key) ?? now;
    this.#heldBackSince.set(key, since);
    return now - since < STUCK_AFTER_MS;
  }

  #dropHolds(verdict: Verdict, key: string): boolean {
    const folder = this.#options.drop.get(verdict)?.folder;
    if (folder === undefined) return false;
    const rawName = decodeKey(key);
    if (rawName !== undefined) return folder.lstat(rawName)?.isFile() === true;
    // It was released a moment ago: the next look knows.
    return this.#cutKeys.get(key) ?? true;
  }

  /** The name of a key that was cut can't be told from it: the drop directory is searched for it. */
  async #findCutKeys(released: Folder): Promise<ReadonlyMap<string, boolean>> {
    const found = new Map<string, boolean>();
    for (const { rawName } of released.list()) {
      if (isKey(rawName) && decodeKey(rawName) === undefined) found.set(rawName, false);
    }
    if (found.size === 0) return found;
    let stretch = performance.now();
    for (const verdict of VERDICTS) {
      for (const { rawName, regular } of this.#options.drop.get(verdict)?.folder.list() ?? []) {
        const key = regular ? encodeName(rawName) : '';
        if (found.has(key)) found.set(key, true);
        if (performance.now() - stretch < STRETCH_MS) continue;
        await nextTurn();
        stretch = performance.now();
      }
    }
    return found;
  }

  #supersede(verdict: Verdict, key: string): void {
    const { folders, quarantine, superseded } = this.#options;
    quarantine.forgetReason(verdict, key);
    if (folders[verdict].removeFile(key)) superseded(verdict, key);
  }
}
