import { accessSync, constants } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { errnoOf } from '../errors.ts';
import type { Log } from '../logger.ts';
import { clean } from '../text.ts';
import type { ClassFolder, DropDirectory } from './drop-directory.ts';
import type { CrossDeviceMoves } from './cross-device-move.ts';
import { DiskFaults } from './disk-faults.ts';
import type { SpoolEvents } from './events.ts';
import type { Folder } from './folder.ts';
import type { Gate } from './gate.ts';
import { encodeName, sameStamp, stampOf } from './message.ts';
import type { MessageLocks } from './message-locks.ts';
import { VERDICTS, otherVerdict, takesPrecedence } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';
import type { Quarantine } from './quarantine.ts';
import type { Queue } from './queue.ts';
import { isOutsiders, outsidersCure } from './user-namespace.ts';
import type { Requeue } from './requeue.ts';
import { crossesDevices, octal } from './state-dir.ts';
import { SweepMap } from './sweep-map.ts';

/**
 * Enqueueing: what happens to one file of the drop directory. The enqueuer looks at the file, and once
 * the gate lets it pass takes it into the queue as the only verdict of its key. The calls between the
 * last look and the rename are synchronous, so that nothing of ours comes in between.
 */
export interface EnqueuerOptions {
  readonly drop: DropDirectory;
  readonly queue: Queue;
  readonly quarantine: Quarantine;
  readonly requeue: Pick<Requeue, 'has' | 'removeKey'>;
  readonly moves: CrossDeviceMoves;
  readonly gate: Gate;
  readonly locks: MessageLocks;
  readonly events: SpoolEvents;
  readonly log: Log;
  readonly settleMs: number;
  readonly maxBytes: number;
}

/** What a look at a file came to. */
export type Look =
  /** It went into the queue, or is on its way there. */
  | { readonly kind: 'taken' }
  /** It is worth another look in `ms` milliseconds. */
  | { readonly kind: 'wait'; readonly ms: number }
  /** It waits until this key is no longer held. */
  | { readonly kind: 'blocked'; readonly key: string }
  /** It stays where it is until something about it changes: a matter for sweeps. */
  | { readonly kind: 'stays' }
  | { readonly kind: 'gone' }
  | { readonly kind: 'full' };

const REPORTED_NAMES = 1_000;
/** Errors of a rename that may be this one file's: immutable, a mount point, another's in a sticky folder. */
const FILE_ERRORS = new Set(['EPERM', 'EACCES', 'EBUSY', 'EISDIR', 'ENOTEMPTY', 'ETXTBSY']);

interface Candidate {
  readonly from: ClassFolder;
  readonly rawName: string;
  readonly stats: BigIntStats;
}

export class Enqueuer {
  readonly #options: EnqueuerOptions;
  readonly #reported = new SweepMap<true>(REPORTED_NAMES);

  constructor(options: EnqueuerOptions) {
    this.#options = options;
  }

  /** False while files of this folder can't be taken for want of room on the way. */
  hasRoom(verdict: Verdict): boolean {
    return this.#options.drop.get(verdict)?.elsewhere !== true || this.#options.moves.hasRoom;
  }

  /**
   * Looks at one file and takes it when it is complete.
   * @throws the system's error for a fault that isn't this file's alone
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

  /** Notes a staged file that can't be moved to the queue's file system. */
  unfit(from: ClassFolder, name: string): void {
    this.#stuck(from, name, undefined, 'unfit');
  }

  /** A sweep has shown every file: what it didn't show is forgotten. */
  endSweep(): void {
    this.#options.gate.endSweep();
    this.#reported.endSweep();
  }

  #take(candidate: Candidate): Look {
    const { from, rawName, stats } = candidate;
    const key = encodeName(rawName);
    // A file on its way between file systems is older, and gives way unless it is just being copied.
    const { locks, moves, queue } = this.#options;
    if (locks.isKeyHeld(key) && !moves.isWaiting(key)) return { kind: 'blocked', key };
    if (this.#isTooLarge(from, stats)) {
      // One false answer of the file system must not keep the file from the quarantine for ever.
      from.elsewhere = crossesDevices(from.folder, queue.folder(from.verdict));
      if (from.elsewhere) return this.#leave(candidate, 'over-size');
    }
    const twin = this.#twinOf(candidate);
    if (twin === undefined) return this.#move(candidate, key);
    if ('kind' in twin) return twin;
    const isNewer = takesPrecedence(from.verdict, stats.mtimeNs, twin.stats.mtimeNs);
    const [older, newer] = isNewer ? [twin, candidate] : [candidate, twin];
    // In this order every moment at which we may be killed leaves the newer one in the later place.
    const wasImmovable = this.#wasImmovable(older);
    const first = this.#move(older, key);
    if (first.kind === 'wait') return first;
    // That may have been a moment's trouble, after which it would be taken for the newer one.
    if (first.kind === 'stays' && !wasImmovable) {
      return { kind: 'wait', ms: this.#options.settleMs };
    }
    const second = this.#move(newer, key);
    return newer === candidate ? second : { kind: 'gone' };
  }

  /** The same name in the other class folder, where it has passed the gate; else how to wait. */
  #twinOf({ from, rawName }: Candidate): Candidate | Look | undefined {
    const { drop, gate, settleMs } = this.#options;
    const verdict = otherVerdict(from.verdict);
    const id = idOf(verdict, rawName);
    if (drop.isUncertain(verdict)) return { kind: 'wait', ms: settleMs };
    const twinFolder = drop.get(verdict);
    const stats = twinFolder?.folder.lstat(rawName);
    // One that is stuck no longer counts.
    if (twinFolder === undefined || stats?.isFile() !== true || gate.isStuck(id)) return undefined;
    const answer = gate.look(id, stats, () => isReadable(twinFolder.folder, rawName), true);
    switch (answer.kind) {
      case 'passed':
        return this.#isTooLarge(twinFolder, stats)
          ? undefined
          : { from: twinFolder, rawName, stats };
      case 'settling':
        return { kind: 'wait', ms: answer.ms };
      case 'stalled':
      case 'full':
        return { kind: 'wait', ms: settleMs };
    }
  }

  #isTooLarge(from: ClassFolder, stats: BigIntStats): boolean {
    return from.elsewhere && stats.size > BigInt(this.#options.maxBytes);
  }

  #move(candidate: Candidate, key: string): Look {
    const { gate, queue, moves, events } = this.#options;
    const { from, rawName, stats } = candidate;
    if (!this.hasRoom(from.verdict)) return { kind: 'wait', ms: 0 };
    if (this.#wasImmovable(candidate) && this.#holds(key))
      return this.#leave(candidate, 'immovable');
    this.#supersede(key);
    const stamp = stampOf(stats);
    try {
      if (from.elsewhere) {
        moves.stage(from, rawName, key, stamp);
      } else {
        const entry = queue.adopt(from.folder, rawName, from.verdict, key);
        if (entry === undefined) return { kind: 'gone' };
        events.enqueued(entry, sameStamp(entry.stamp, stamp));
      }
    } catch (error) {
      if (errnoOf(error) === 'EXDEV' && !from.elsewhere) {
        // Another project's quota: the kernel tells only of a file that is there.
        from.elsewhere = true;
        if (this.#isTooLarge(from, stats)) return this.#leave(candidate, 'over-size');
        return this.#move(candidate, key);
      }
      const isItsOwn =
        FILE_ERRORS.has(errnoOf(error) ?? '') &&
        from.folder.lstat(rawName) !== undefined &&
        isWritable(from.folder);
      if (!isItsOwn) throw error;
      return this.#leave(candidate, 'immovable');
    }
    gate.forget(idOf(from.verdict, rawName));
    return { kind: 'taken' };
  }

  /** A file that couldn't be moved must not remove what came after it, again and again. */
  #wasImmovable({ from, rawName }: Candidate): boolean {
    return this.#reported.peek(reportOf(idOf(from.verdict, rawName), 'immovable')) !== undefined;
  }

  #holds(key: string): boolean {
    const { queue, quarantine, requeue, moves } = this.#options;
    return (
      queue.newest(key) !== undefined ||
      quarantine.has(key) ||
      requeue.has(key) ||
      moves.isWaiting(key)
    );
  }

  /** Removes every older verdict of a key, wherever it waits. */
  #supersede(key: string): void {
    const { drop, queue, quarantine, requeue, moves, events } = this.#options;
    for (const verdict of queue.removeKey(key)) events.superseded(verdict, key);
    // That one was counted when it was quarantined.
    quarantine.removeKey(key);
    // After the quarantine: an operator may be moving it from there to here.
    requeue.removeKey(key);
    for (const verdict of VERDICTS) {
      const from = drop.get(verdict);
      if (from !== undefined && moves.removeKey(from, key)) events.superseded(verdict, key);
    }
  }

  // --- telling

  #leave({ from, rawName, stats }: Candidate, reason: StuckReason): Look {
    this.#options.gate.forget(idOf(from.verdict, rawName));
    this.#stuck(from, rawName, stats, reason);
    return { kind: 'stays' };
  }

  #stuck(
    from: ClassFolder,
    rawName: string,
    stats: BigIntStats | undefined,
    reason: StuckReason,
  ): void {
    if (!this.#isNew(reportOf(idOf(from.verdict, rawName), reason))) return;
    const owner =
      stats === undefined
        ? {}
        : { uid: Number(stats.uid), gid: Number(stats.gid), mode: octal(stats.mode) };
    const isOut = reason === 'unreadable' && stats !== undefined && isOutsiders(stats);
    const says = isOut ? `can't be read for ten minutes; ${outsidersCure('it')}` : STUCK[reason];
    this.#options.log('warning', 'spool.stuck', says, {
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
  immovable:
    "can't be moved out of its folder: immutable, a mount point, or another user's in a folder with the sticky bit",
  unfit:
    'half-way between two file systems, but no regular file of allowed size; remove it by hand',
} as const;

type StuckReason = keyof typeof STUCK;

function reportOf(id: string, reason: StuckReason): string {
  return `${id} ${reason}`;
}

export function idOf(verdict: Verdict, rawName: string): string {
  return `${verdict}/${rawName}`;
}

function isReadable(folder: Folder, rawName: string): boolean {
  return isAllowed(folder.at(rawName), constants.R_OK);
}

function isWritable(folder: Folder): boolean {
  return isAllowed(folder.at('.'), constants.W_OK | constants.X_OK);
}

function isAllowed(address: string | Buffer, mode: number): boolean {
  try {
    accessSync(address, mode);
    return true;
  } catch (error) {
    // A disk that fails says nothing about the file.
    if (DiskFaults.isWide(error) && errnoOf(error) !== 'EROFS') throw error;
    return false;
  }
}
