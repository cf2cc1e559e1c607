import { accessSync, constants } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import path from 'node:path';
import { errnoOf, ifAllowed } from '../errors.ts';
import { othersOf, takesPrecedence } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';
import type { SpoolContext } from './context.ts';
import type { CrossDeviceMoves } from './cross-device-move.ts';
import { DiskFaults } from './disk-faults.ts';
import type { ClassFolder } from './drop-directory.ts';
import type { Folder } from './folder.ts';
import type { Later } from './gate.ts';
import { encodeName, idOf, sameStamp, stampOf } from './message.ts';
import type { Requeue } from './requeue.ts';
import { crossesDevices } from './state-dir.ts';
import type { StuckReason } from './stuck-files.ts';

/**
 * Enqueueing: what happens to one file of the drop directory. The enqueuer looks at the file, and once
 * the gate lets it pass takes it into the queue as the only verdict of its key. The calls between the
 * last look and the rename are synchronous, so that nothing of ours comes in between.
 */
interface EnqueuerOptions extends SpoolContext {
  readonly requeue: Requeue;
  readonly moves: CrossDeviceMoves;
}

/** What a look at a file came to. */
type Look =
  | Later
  /** It went into the queue, or is on its way there. */
  | { readonly kind: 'taken' }
  /** It stays where it is until something about it changes: a matter for sweeps. */
  | { readonly kind: 'stays' }
  | { readonly kind: 'gone' };

/** How often a file is looked at whose key is in flight. */
const BLOCKED_MS = 100;
/** Errors of a rename that may be this one file's: immutable, a mount point, another's in a sticky folder. */
const FILE_ERRORS = new Set(['EPERM', 'EACCES', 'EBUSY', 'EISDIR', 'ENOTEMPTY', 'ETXTBSY']);

interface Candidate {
  readonly from: ClassFolder;
  readonly rawName: string;
  readonly stats: BigIntStats;
}

export class Enqueuer {
  readonly #options: EnqueuerOptions;

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
    const { drop, gate, stuck } = this.#options;
    const id = idOf(verdict, rawName);
    const from = drop.get(verdict);
    const stats = from?.folder.lstat(rawName);
    if (from === undefined || stats === undefined) {
      gate.forget(id);
      return { kind: 'gone' };
    }
    const candidate = { from, rawName, stats };
    if (!stats.isFile()) return this.#leave(candidate, 'irregular');
    const answer = gate.look(id, stats, () => isAllowed(from.folder, rawName, constants.R_OK));
    if (answer.kind === 'passed') return this.#take(candidate);
    if (answer.kind !== 'stalled') return answer;
    if (answer.stuck) stuck.note(verdict, rawName, answer.reason, stats);
    return { kind: 'stays' };
  }

  #take(candidate: Candidate): Look {
    const { from, rawName, stats } = candidate;
    const key = encodeName(rawName);
    const { drop, locks, moves, queue, settleMs } = this.#options;
    // A file on its way between file systems is older, and gives way unless it is just being copied.
    if (locks.isKeyHeld(key) && !moves.isWaiting(key)) return { kind: 'wait', ms: BLOCKED_MS };
    if (this.#isTooLarge(from, stats)) {
      // One false answer of the file system must not keep the file from the quarantine for ever.
      from.elsewhere = crossesDevices(from.folder, queue.folder(from.verdict));
      if (from.elsewhere) return this.#leave(candidate, 'over-size');
    }
    const twins: Candidate[] = [];
    for (const verdict of othersOf(drop.verdicts, from.verdict)) {
      const twin = this.#twinOf(candidate, verdict);
      if (twin !== undefined && 'kind' in twin) return twin;
      if (twin !== undefined) twins.push(twin);
    }
    // In this order every moment at which we may be killed leaves the newer one in the later place.
    const files = [candidate, ...twins].sort((a, b) => (isNewer(a, b) ? 1 : -1));
    const newest = files.pop() ?? candidate;
    for (const older of files) {
      const wasImmovable = this.#wasImmovable(older);
      const moved = this.#move(older, key);
      if (moved.kind === 'wait') return moved;
      // That may have been a moment's trouble, after which it would be taken for the newer one.
      if (moved.kind === 'stays' && !wasImmovable) return { kind: 'wait', ms: settleMs };
    }
    const moved = this.#move(newest, key);
    return newest === candidate ? moved : { kind: 'gone' };
  }

  /** The same name in another class folder, where it goes with this one or before it; else how to wait. */
  #twinOf(candidate: Candidate, verdict: Verdict): Candidate | Look | undefined {
    const { drop, gate, settleMs } = this.#options;
    const { rawName } = candidate;
    const id = idOf(verdict, rawName);
    if (drop.isUncertain(verdict)) return { kind: 'wait', ms: settleMs };
    const twin = drop.get(verdict);
    const stats = twin?.folder.lstat(rawName);
    if (twin === undefined || stats?.isFile() !== true) return undefined;
    const file = { from: twin, rawName, stats };
    // One that can't be taken no longer counts; but an older one would come last on the day that it can.
    const isOlder = stats.size > 0n && isNewer(candidate, file);
    if (gate.isStuck(id)) return isOlder ? file : undefined;
    const isReadable = (): boolean => isAllowed(twin.folder, rawName, constants.R_OK);
    const answer = gate.look(id, stats, isReadable, true);
    if (answer.kind === 'wait') return answer;
    if (answer.kind !== 'passed') return { kind: 'wait', ms: settleMs };
    return this.#isTooLarge(twin, stats) && !isOlder ? undefined : file;
  }

  #isTooLarge(from: ClassFolder, stats: BigIntStats): boolean {
    return from.elsewhere && stats.size > BigInt(this.#options.maxBytes);
  }

  #move(candidate: Candidate, key: string): Look {
    const { gate, queue, moves, events } = this.#options;
    const { from, rawName, stats } = candidate;
    if (!this.hasRoom(from.verdict)) return { kind: 'wait', ms: 0 };
    // It must not remove what came after it, again and again.
    if (this.#wasImmovable(candidate) && this.#isTaken(key)) {
      return this.#leave(candidate, 'immovable');
    }
    this.#supersede(key);
    try {
      if (from.elsewhere) moves.stage(from, rawName, key, stampOf(stats));
      else {
        const entry = queue.adopt(from.folder, rawName, from.verdict, key);
        if (entry === undefined) return { kind: 'gone' };
        events.enqueued(entry, sameStamp(entry.stamp, stats));
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
        isAllowed(from.folder, '.', constants.W_OK | constants.X_OK);
      if (!isItsOwn) throw error;
      return this.#leave(candidate, 'immovable');
    }
    gate.forget(idOf(from.verdict, rawName));
    return { kind: 'taken' };
  }

  #wasImmovable({ from, rawName }: Candidate): boolean {
    return this.#options.stuck.isKnown(from.verdict, rawName, 'immovable');
  }

  /** Whether another file of this key waits somewhere. */
  #isTaken(key: string): boolean {
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
    const { queue, quarantine, requeue, moves, events, former, log } = this.#options;
    for (const verdict of queue.removeKey(key)) events.superseded(verdict, key);
    // That one was counted when it was quarantined.
    quarantine.removeKey(key);
    // After the quarantine: an operator may be moving it from there to here.
    requeue.removeKey(key);
    moves.supersede(key);
    // It would be learned after this one once its class is set again.
    for (const folder of former) {
      const isGone = ifAllowed(() => folder.removeFile(key));
      ifAllowed(() => folder.removeFile(`${key}.json`));
      if (isGone !== true) continue;
      const fields = { verdict: path.basename(folder.path), file: key };
      log('notice', 'message.superseded', 'a newer verdict took its place', fields);
    }
  }

  #leave({ from, rawName, stats }: Candidate, reason: StuckReason): Look {
    this.#options.gate.forget(idOf(from.verdict, rawName));
    this.#options.stuck.note(from.verdict, rawName, reason, stats);
    return { kind: 'stays' };
  }
}

function isNewer(a: Candidate, b: Candidate): boolean {
  const [mine, its] = [a.stats.mtimeNs, b.stats.mtimeNs];
  return takesPrecedence(a.from.verdict, mine, b.from.verdict, its);
}

function isAllowed(folder: Folder, rawName: string, mode: number): boolean {
  try {
    accessSync(folder.at(rawName), mode);
    return true;
  } catch (error) {
    // A disk that fails says nothing about the file.
    if (DiskFaults.isWide(error) && errnoOf(error) !== 'EROFS') throw error;
    return false;
  }
}
