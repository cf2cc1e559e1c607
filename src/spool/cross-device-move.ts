import { renameSync } from 'node:fs';
import type { Clock } from '../clock.ts';
import { errnoOf } from '../errors.ts';
import { VERDICTS, otherVerdict, takesPrecedence } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';
import { yieldIfDue } from '../yield-if-due.ts';
import { copyMessage, syncFolder } from './copy.ts';
import { DiskFaults } from './disk-faults.ts';
import type { ClassFolder, DropDirectory } from './drop-directory.ts';
import type { SpoolEvents } from './events.ts';
import type { Folder } from './folder.ts';
import type { MessageLocks } from './message-locks.ts';
import { bearsFinishingMark, sameStamp, settleTime, stampOf } from './message.ts';
import type { QueueEntry, Stamp } from './message.ts';
import type { Queue } from './queue.ts';

/**
 * The move into a queue on another file system. The file is first renamed inside its class folder to
 * `.learnd-KEY`, which takes it from the writer in one step, then copied, fsynced, renamed into the
 * queue and unlinked. A `.learnd-KEY` counts as a queue file; sweeps find by its name a file that a
 * crash left half-way, and it is moved again.
 *
 * The key of a staged file is locked from the moment the file is staged or found until it lies in the
 * queue: nothing of that key is posted meanwhile, and while it is being copied nothing is enqueued.
 * Each try is bounded; a failure is retried.
 */
export const PREFIX = '.learnd-';
// What encodeName makes, so that nothing else in the class folder is taken for a staged file.
const STAGED = /^\.learnd-([A-Za-z0-9._=@+%~-]{1,200})$/;
const MOVED_AT_A_TIME = 8;
/** Files that fail one after the other must not fill the memory. */
const KNOWN_AT_MOST = 2_000;
/** What is found leaves room for what comes: a crash leaves a handful, a long outage a thousand. */
const FOUND_AT_MOST = 1_000;

export interface CrossDeviceMovesOptions {
  readonly drop: DropDirectory;
  readonly queue: Queue;
  readonly temporary: Folder;
  readonly locks: MessageLocks;
  readonly events: SpoolEvents;
  readonly faults: DiskFaults;
  readonly clock: Clock;
  readonly settleMs: number;
  readonly maxBytes: number;
  /** What lies there can't be moved: no regular file of allowed size. */
  readonly onUnfit: (from: ClassFolder, name: string) => void;
  /** There is room for another one. */
  readonly onRoom: () => void;
}

/** One staged file. */
interface Staged {
  readonly from: ClassFolder;
  readonly key: string;
  /** What it has to look like at `dueAt`; unknown of one that was found. */
  stamp: Stamp | undefined;
  /** Not before this monotonic time. */
  dueAt: number;
  holdsLock: boolean;
  isUnderWay: boolean;
  /** A try met a disk fault, which may be of this file alone. */
  hasFailed: boolean;
}

export class CrossDeviceMoves {
  readonly #options: CrossDeviceMovesOptions;
  readonly #staged = new Map<string, Staged>();
  /** Staged files that can't be moved and stay where they are. */
  readonly #unfit = new Set<string>();
  readonly #underWay = new Set<Promise<void>>();
  /** Sweeps have not found yet all that lies staged. */
  #isIncomplete = false;
  #hadNoRoom = false;
  #isStopping = false;
  /** The last try met a disk fault: several copies at a time would take each other's last space. */
  #isCautious = false;

  constructor(options: CrossDeviceMovesOptions) {
    this.#options = options;
  }

  /** Whether one more file may be staged now. */
  get hasRoom(): boolean {
    const now = this.#options.clock.monotonic();
    let busy = 0;
    for (const { dueAt, stamp, hasFailed } of this.#staged.values()) {
      // What is empty, only found so far, or fails may never come to be moved.
      if (dueAt <= now && stamp !== undefined && stamp.size > 0n && !hasFailed) busy += 1;
    }
    return busy < this.#limit && this.#pause() === 0 && this.#staged.size < KNOWN_AT_MOST;
  }

  /** Milliseconds until a staged file can be worked on; Infinity when there is none. */
  get untilDue(): number {
    let due = Infinity;
    for (const staged of this.#staged.values()) {
      if (!staged.isUnderWay) due = Math.min(due, staged.dueAt);
    }
    return Math.max(due - this.#options.clock.monotonic(), this.#pause());
  }

  /** True when nothing is on its way. */
  get isEmpty(): boolean {
    return this.#staged.size === 0;
  }

  /**
   * Takes a file that has passed the gate away from its writer, unless it is gone.
   * @throws the system's error for everything else
   */
  stage(from: ClassFolder, rawName: string, key: string, stamp: Stamp): void {
    try {
      renameSync(from.folder.at(rawName), from.folder.at(PREFIX + key));
    } catch (error) {
      // It may be staged all the same (NFS, where the answer got lost): the first try will see.
      this.#add(from, key, stamp);
      if (errnoOf(error) === 'ENOENT' && from.folder.lstat(rawName) === undefined) return;
      throw error;
    }
    this.#add(from, key, stamp);
  }

  /** A sweep came upon a dotted name, which may be a file that lies staged. */
  found(from: ClassFolder, rawName: string, regular: boolean): void {
    const key = STAGED.exec(rawName)?.[1];
    if (key === undefined || this.#knows(idOf(from.verdict, key))) return;
    if (!regular) this.#options.onUnfit(from, rawName);
    else if (this.#staged.size < FOUND_AT_MOST) this.#add(from, key, undefined);
    else this.#hadNoRoom = true;
  }

  /** @param whole whether the sweep came upon every name */
  endSweep(whole: boolean): void {
    if (whole) this.#isIncomplete = this.#hadNoRoom;
    this.#hadNoRoom = false;
  }

  /** A folder was opened: the unfit files of the one before are forgotten. */
  async opened({ verdict, folder }: ClassFolder): Promise<void> {
    for (const id of this.#unfit) if (id.startsWith(`${verdict}/`)) this.#unfit.delete(id);
    for (const { rawName } of folder.list()) {
      if (STAGED.test(rawName)) {
        this.#isIncomplete = true;
        return;
      }
      await yieldIfDue();
    }
  }

  /** True when a file of this key is staged and nothing is being done with it. */
  isWaiting(key: string): boolean {
    const all = VERDICTS.flatMap((verdict) => this.#staged.get(idOf(verdict, key)) ?? []);
    return all.some((staged) => staged.holdsLock) && all.every((staged) => !staged.isUnderWay);
  }

  /** Removes what is staged of a key in a folder; true when there was something. */
  removeKey(from: ClassFolder, key: string): boolean {
    const id = idOf(from.verdict, key);
    if (!this.#knows(id) && !this.#isIncomplete) return false;
    // First of all: where that fails it must not be forgotten.
    const wasThere = from.folder.removeFile(PREFIX + key);
    this.#unfit.delete(id);
    const staged = this.#staged.get(id);
    if (staged !== undefined) this.#drop(staged);
    return wasThere;
  }

  /** Starts moving what is due. */
  step(): void {
    const now = this.#options.clock.monotonic();
    for (const staged of this.#staged.values()) {
      if (this.#isStopping || this.#underWay.size >= this.#limit || this.#pause() > 0) return;
      if (staged.isUnderWay || staged.dueAt > now) continue;
      staged.isUnderWay = true;
      const work = this.#try(staged).finally(() => {
        staged.isUnderWay = false;
        this.#underWay.delete(work);
      });
      this.#underWay.add(work);
    }
  }

  /**
   * Starts nothing more; resolves when nothing is under way and no key is locked. This process may own
   * the spool again, and finds then what lies staged.
   */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await Promise.all(this.#underWay);
    for (const staged of this.#staged.values()) this.#drop(staged);
  }

  #knows(id: string): boolean {
    return this.#staged.has(id) || this.#unfit.has(id);
  }

  get #limit(): number {
    return this.#isCautious ? 1 : MOVED_AT_A_TIME;
  }

  #pause(): number {
    return this.#options.faults.pause(this.#options.temporary.path);
  }

  #add(from: ClassFolder, key: string, stamp: Stamp | undefined): void {
    const staged: Staged = {
      from,
      key,
      stamp,
      dueAt: 0,
      holdsLock: this.#lock(key),
      isUnderWay: false,
      hasFailed: false,
    };
    this.#staged.set(idOf(from.verdict, key), staged);
  }

  /** Locks a key, unless it is in flight: then false. */
  #lock(key: string): boolean {
    const { locks } = this.#options;
    if (locks.isKeyHeld(key)) return false;
    locks.holdKey(key);
    return true;
  }

  #drop(staged: Staged): void {
    const { locks, faults, temporary, onRoom } = this.#options;
    this.#staged.delete(idOf(staged.from.verdict, staged.key));
    if (staged.holdsLock) locks.releaseKey(staged.key);
    staged.holdsLock = false;
    // Nothing is left that could still fail, unless it is left to the next owner.
    if (this.isEmpty && !this.#isStopping) faults.clear(temporary.path);
    onRoom();
  }

  /** Lets a staged file wait, behind all others. */
  #defer(staged: Staged, ms: number): void {
    staged.dueAt = this.#options.clock.monotonic() + ms;
    const id = idOf(staged.from.verdict, staged.key);
    if (this.#staged.get(id) !== staged) return;
    this.#staged.delete(id);
    this.#staged.set(id, staged);
  }

  async #try(staged: Staged): Promise<void> {
    const { faults, temporary, events } = this.#options;
    try {
      await this.#moveOnce(staged);
    } catch (error) {
      // The folder was replaced: what was staged there is found again when it comes back.
      if (staged.from.folder.isClosed) {
        this.#drop(staged);
        return;
      }
      faults.raise(temporary.path, error);
      events.rescan(); // the file may have come into the queue all the same
      this.#isCautious = true;
      staged.hasFailed = true;
      // When the pause is over others go first: one that fits, or a newer verdict of this one.
      this.#defer(staged, 1.5 * DiskFaults.retryMs);
    }
  }

  async #moveOnce(staged: Staged): Promise<void> {
    const { faults, settleMs, temporary, maxBytes, onUnfit, events } = this.#options;
    const { from, key } = staged;
    // The key was in flight when this was found.
    staged.holdsLock ||= this.#lock(key);
    if (!staged.holdsLock) {
      this.#defer(staged, settleMs);
      return;
    }
    const found = from.folder.lstat(PREFIX + key);
    if (found === undefined || this.#isOutdated(from, key, found.mtimeNs)) {
      this.#drop(staged);
      return;
    }
    if (!found.isFile() || found.nlink > 1n || found.size > BigInt(maxBytes)) {
      this.#drop(staged);
      this.#unfit.add(idOf(from.verdict, key));
      onUnfit(from, PREFIX + key);
      return;
    }
    const stamp = stampOf(found);
    const isSettled = staged.stamp !== undefined && sameStamp(staged.stamp, stamp);
    if (!isSettled || found.size === 0n) {
      const isMarked = staged.stamp === undefined && bearsFinishingMark(found.mode);
      staged.stamp = stamp;
      this.#defer(staged, settleTime(isMarked, settleMs));
      return;
    }
    const entry = await this.#copy(from, key, stamp);
    faults.clear(temporary.path);
    this.#isCautious = false;
    if (entry === undefined) this.#defer(staged, settleMs);
    else {
      this.#drop(staged);
      events.enqueued(entry, true);
    }
  }

  /**
   * The queue, or the other class folder, holds a newer verdict: the staged one is removed. Of the
   * same verdict the queue can only hold an older file, or an earlier copy of this one.
   */
  #isOutdated(from: ClassFolder, key: string, mtimeNs: bigint): boolean {
    const { queue, events, drop } = this.#options;
    const other = otherVerdict(from.verdict);
    const others = [
      queue.find(other, key)?.stamp.mtimeNs,
      drop.get(other)?.folder.lstat(PREFIX + key)?.mtimeNs,
    ];
    const isOutdated = others.some(
      (its) => its !== undefined && takesPrecedence(other, its, mtimeNs),
    );
    if (!isOutdated) return false;
    from.folder.removeFile(PREFIX + key);
    events.superseded(from.verdict, key);
    events.rescan(); // what was forgotten by that may be the newer one
    return true;
  }

  /** Its staged twin is older, and must go while that still shows: a copy's mtime is nearly right. */
  #supersedeTwin(from: ClassFolder, key: string): void {
    const { drop, events } = this.#options;
    const other = otherVerdict(from.verdict);
    const twin = drop.get(other);
    if (twin !== undefined && this.removeKey(twin, key)) events.superseded(other, key);
  }

  /** Copies a file into the queue; `undefined` when it changed meanwhile. */
  async #copy(from: ClassFolder, key: string, stamp: Stamp): Promise<QueueEntry | undefined> {
    const { queue, temporary } = this.#options;
    const { verdict, folder } = from;
    const name = PREFIX + key;
    try {
      const isWhole = await copyMessage({
        from: folder,
        name,
        to: temporary,
        key,
        stamp,
        verdict,
      });
      const now = folder.lstat(name);
      if (!isWhole || now === undefined || !sameStamp(stampOf(now), stamp)) {
        temporary.removeFile(key);
        return undefined;
      }
    } catch (error) {
      temporary.removeFile(key); // half a copy would go on filling a full disk
      throw error;
    }
    this.#supersedeTwin(from, key);
    queue.removeKey(key);
    const entry = queue.adopt(temporary, key, verdict, key);
    if (entry === undefined) return undefined; // somebody removed the copy
    await syncFolder(queue.folder(verdict));
    const left = folder.lstat(name);
    if (left !== undefined && !sameStamp(stampOf(left), stamp)) {
      queue.removeKey(key); // its writer went on meanwhile: the copy is outdated, whatever its mtime
      return undefined;
    }
    folder.removeFile(name);
    return entry;
  }
}

function idOf(verdict: Verdict, key: string): string {
  return `${verdict}/${key}`;
}
