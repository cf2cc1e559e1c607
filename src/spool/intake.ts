import { accessSync, constants, unlinkSync } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { sleep } from '../clock.ts';
import type { Clock } from '../clock.ts';
import type { Log } from '../logger.ts';
import { clean } from '../text.ts';
import type { ClassFolder, DropDirectory } from './drop-directory.ts';
import { Faults } from './faults.ts';
import type { Folder } from './folder.ts';
import type { Gate } from './gate.ts';
import { VERDICTS, encodeName, otherVerdict, sameStamp, stampOf } from './message.ts';
import type { QueueEntry, Verdict } from './message.ts';
import type { Quarantine } from './quarantine.ts';
import { newerVerdict } from './queue.ts';
import type { Queue } from './queue.ts';
import { StillWrittenError, carry, removeStaged, stage, stagedKeys } from './staging.ts';
import { octal } from './state-dir.ts';
import { SweepMap } from './sweep-map.ts';

/**
 * Intake: what happens to one file of the drop directory. It looks at it, and once the gate lets it
 * pass takes it into the queue as the only verdict of its key. The calls between the last look and
 * the rename are synchronous, so that nothing of ours comes in between.
 */

/** What pickup tells the learning side, and asks of it. */
export interface PickupListener {
  /** True while a message of this key is in flight; `Pickup.release` follows when it no longer is. */
  isInFlight(key: string): boolean;
  /** A message came into the queue; `settled` when it is known to be complete. */
  queued(entry: QueueEntry, settled: boolean): void;
  /** What queue or quarantine held of this key is gone: a newer verdict takes its place. */
  superseded(verdict: Verdict, key: string): void;
  /** The drop directory belongs to another daemon. */
  lost(reason: string): void;
}

export interface IntakeOptions {
  readonly drop: DropDirectory;
  readonly queue: Queue;
  readonly quarantine: Quarantine;
  readonly temporary: Folder;
  readonly gate: Gate;
  readonly faults: Faults;
  readonly clock: Clock;
  readonly log: Log;
  readonly listener: PickupListener;
  readonly settleMs: number;
  readonly maxBytes: number;
}

/** What a look at a file came to. */
export type Look =
  /** It went into the queue, or is on its way there. */
  | { readonly kind: 'taken' }
  /** It is worth another look in `ms` milliseconds. */
  | { readonly kind: 'wait'; readonly ms: number }
  /** It waits until this key is no longer in flight. */
  | { readonly kind: 'blocked'; readonly key: string }
  /** It stays where it is until something about it changes: a matter for sweeps. */
  | { readonly kind: 'stays' }
  | { readonly kind: 'gone' }
  | { readonly kind: 'full' };

const CARRIED_AT_A_TIME = 8;
const REPORTED_NAMES = 1_000;

interface Candidate {
  readonly from: ClassFolder;
  readonly rawName: string;
  readonly stats: BigIntStats;
}

export class Intake {
  readonly #options: IntakeOptions;
  readonly #carrying = new Map<string, Promise<void>>();
  readonly #reported = new SweepMap<true>(REPORTED_NAMES);
  readonly #stop = new AbortController();

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  /**
   * Looks at one file and takes it when it is complete.
   * @throws the system's error for a local fault
   */
  look(verdict: Verdict, rawName: string): Look {
    const { drop, gate } = this.#options;
    const id = idOf(verdict, rawName);
    const from = drop.get(verdict);
    const stats = from?.folder.lstat(rawName);
    if (from === undefined || stats === undefined) {
      gate.forget(id);
      return { kind: 'gone' };
    }
    if (!stats.isFile()) {
      gate.forget(id);
      return this.ignore(verdict, rawName);
    }
    const answer = gate.look(id, stats, () => isReadable(from.folder, rawName));
    switch (answer.kind) {
      case 'settling':
        return { kind: 'wait', ms: answer.ms };
      case 'full':
        return { kind: 'full' };
      case 'stalled':
        if (answer.stuck) this.#stuck(from, rawName, stats, answer.reason);
        return { kind: 'stays' };
      case 'passed':
        return this.#take({ from, rawName, stats });
    }
  }

  /** Notes an entry that is no regular file. */
  ignore(verdict: Verdict, rawName: string): Look {
    if (this.#isNew(idOf(verdict, rawName))) {
      this.#options.log('warning', 'spool.ignored', 'not a regular file; it is left alone', {
        verdict,
        file: clean(rawName),
      });
    }
    return { kind: 'stays' };
  }

  /** A sweep has shown every file: what it didn't show is forgotten. */
  endSweep(): void {
    this.#options.gate.endSweep();
    this.#reported.endSweep();
  }

  /** Finishes what an earlier owner left half-way in a class folder. */
  async finishStaged(from: ClassFolder): Promise<void> {
    const { clock, listener } = this.#options;
    for (const key of stagedKeys(from)) {
      while (listener.isInFlight(key) && !this.#stop.signal.aborted) {
        await sleep(clock, 100, this.#stop.signal);
      }
      this.#supersedeInQueue(key);
      await this.#startCarrying(from, key);
    }
  }

  /** Stops carrying files over; what is under way ends at its next step. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#carrying.values());
  }

  // --- taking

  #take(candidate: Candidate): Look {
    const { listener } = this.#options;
    const { from, rawName } = candidate;
    const key = encodeName(rawName);
    if (listener.isInFlight(key)) return { kind: 'blocked', key };
    if (this.#carrying.has(key)) return { kind: 'wait', ms: 50 };
    const twin = this.#twinOf(candidate);
    if (twin === undefined) return this.#move(candidate, key);
    if ('kind' in twin) return twin;
    const newer = newerVerdict(...inOrder(candidate, twin)) === from.verdict ? candidate : twin;
    const older = newer === candidate ? twin : candidate;
    const moved = this.#move(newer, key);
    // Had the winner vanished, its writer would be at work on the other file right now.
    if (moved.kind === 'taken') this.#removeOlder(older);
    return newer === candidate ? moved : { kind: 'wait', ms: 0 };
  }

  /** The same name in the other class folder, where it has passed the gate; else how to wait. */
  #twinOf({ from, rawName }: Candidate): Candidate | Look | undefined {
    const { drop, gate, settleMs } = this.#options;
    const verdict = otherVerdict(from.verdict);
    const id = idOf(verdict, rawName);
    const twinFolder = drop.get(verdict);
    const stats = twinFolder?.folder.lstat(rawName);
    if (twinFolder === undefined || stats?.isFile() !== true || gate.isStuck(id)) return undefined;
    const answer = gate.look(id, stats, () => isReadable(twinFolder.folder, rawName), true);
    switch (answer.kind) {
      case 'passed':
        return { from: twinFolder, rawName, stats };
      case 'settling':
        return { kind: 'wait', ms: answer.ms };
      case 'stalled':
      case 'full':
        return { kind: 'wait', ms: settleMs };
    }
  }

  #move({ from, rawName, stats }: Candidate, key: string): Look {
    const { gate, queue, listener, maxBytes } = this.#options;
    if (from.elsewhere && stats.size > BigInt(maxBytes)) {
      this.#stuck(from, rawName, stats, 'over-size');
      return { kind: 'stays' };
    }
    if (from.elsewhere && this.#carrying.size >= CARRIED_AT_A_TIME) return { kind: 'wait', ms: 20 };
    this.#supersede(key);
    gate.forget(idOf(from.verdict, rawName));
    if (from.elsewhere) {
      if (!stage(from, rawName, key)) return { kind: 'gone' };
      void this.#startCarrying(from, key);
      return { kind: 'taken' };
    }
    const entry = queue.adopt(from.folder, rawName, from.verdict, key);
    if (entry === undefined) return { kind: 'gone' };
    listener.queued(entry, sameStamp(entry.stamp, stampOf(stats)));
    return { kind: 'taken' };
  }

  #removeOlder({ from, rawName, stats }: Candidate): void {
    const { gate, listener } = this.#options;
    const now = from.folder.lstat(rawName);
    // Rewritten just now, it is the latest verdict after all.
    if (now === undefined || !sameStamp(stampOf(now), stampOf(stats))) return;
    unlinkSync(from.folder.at(rawName));
    gate.forget(idOf(from.verdict, rawName));
    listener.superseded(from.verdict, encodeName(rawName));
  }

  /** Removes every older verdict of a key, wherever it waits. */
  #supersede(key: string): void {
    const { drop, listener } = this.#options;
    this.#supersedeInQueue(key);
    for (const verdict of VERDICTS) {
      const from = drop.get(verdict);
      if (from?.elsewhere === true && removeStaged(from, key)) listener.superseded(verdict, key);
    }
  }

  #supersedeInQueue(key: string): void {
    const { queue, quarantine, listener } = this.#options;
    for (const verdict of queue.removeKey(key)) listener.superseded(verdict, key);
    for (const verdict of quarantine.removeKey(key)) listener.superseded(verdict, key);
  }

  // --- carrying over from another file system

  #startCarrying(from: ClassFolder, key: string): Promise<void> {
    const carrying = this.#carry(from, key).finally(() => {
      this.#carrying.delete(key);
    });
    this.#carrying.set(key, carrying);
    return carrying;
  }

  async #carry(from: ClassFolder, key: string): Promise<void> {
    const { queue, temporary, faults, clock, listener, maxBytes, settleMs } = this.#options;
    const { verdict } = from;
    const place = queue.folder(verdict).path;
    while (!this.#stop.signal.aborted) {
      try {
        const entry = await carry({ from, verdict, key, temporary, queue, maxBytes });
        faults.clear(place);
        if (entry === 'unfit') this.#stuck(from, `.learnd-${key}`, undefined, 'unfit');
        else if (entry !== undefined) listener.queued(entry, true);
        return;
      } catch (error) {
        if (error instanceof StillWrittenError) {
          await sleep(clock, settleMs, this.#stop.signal);
          continue;
        }
        faults.raise(place, error);
        await sleep(clock, Faults.retryMs, this.#stop.signal);
      }
    }
  }

  // --- telling

  #stuck(
    from: ClassFolder,
    rawName: string,
    stats: BigIntStats | undefined,
    reason: 'empty' | 'unreadable' | 'over-size' | 'unfit',
  ): void {
    if (!this.#isNew(`${idOf(from.verdict, rawName)} ${reason}`)) return;
    const owner =
      stats === undefined
        ? {}
        : { uid: Number(stats.uid), gid: Number(stats.gid), mode: octal(stats.mode) };
    this.#options.log('warning', 'spool.stuck', STUCK[reason], {
      verdict: from.verdict,
      file: clean(rawName),
      reason,
      ...owner,
    });
  }

  #isNew(name: string): boolean {
    const known = this.#reported.peek(name) !== undefined;
    const remembered = this.#reported.set(name, true);
    return !known && remembered;
  }
}

const STUCK = {
  empty: 'empty for ten minutes; it stays until its writer writes or removes it',
  unreadable:
    "can't be read for ten minutes; give the daemon's user the file's group, or set sa_group in kopano-spamd's configuration to a group that it has",
  'over-size':
    'larger than LEARN_MAX_BYTES and on another file system than the state dir; raise LEARN_MAX_BYTES or remove it',
  unfit:
    'half-way between two file systems, but no regular file of allowed size; remove it by hand',
} as const;

export function idOf(verdict: Verdict, rawName: string): string {
  return `${verdict}/${rawName}`;
}

function inOrder(a: Candidate, b: Candidate): [spam: bigint, ham: bigint] {
  const [spam, ham] = a.from.verdict === 'spam' ? [a, b] : [b, a];
  return [spam.stats.mtimeNs, ham.stats.mtimeNs];
}

function isReadable(folder: Folder, rawName: string): boolean {
  try {
    accessSync(folder.at(rawName), constants.R_OK);
    return true;
  } catch {
    return false;
  }
}
