import { renameSync } from 'node:fs';
import { errnoOf } from '../errors.ts';
import { othersOf, takesPrecedence } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';
import { yieldIfDue } from '../yield-if-due.ts';
import type { SpoolContext } from './context.ts';
import { copyStaged, syncFolder } from './durable.ts';
import { DiskFaults, FAULTED } from './disk-faults.ts';
import type { ClassFolder } from './drop-directory.ts';
import {
  STAGED_PREFIX,
  bearsFinishingMark,
  idOf,
  sameStamp,
  settleTime,
  stagedKey,
  stampOf,
} from './message.ts';
import type { QueueEntry, Stamp } from './message.ts';

/**
 * The move into a queue on another file system. The file is first renamed inside its class folder to
 * `.learnd-KEY`, which takes it from the writer in one step, then copied, fsynced, renamed into the
 * queue and unlinked. A `.learnd-KEY` counts as a queue file; sweeps find by its name a file that a
 * crash left half-way, and it is moved again.
 *
 * The key of a staged file is locked from the moment the file is staged or found until it lies in the
 * queue: nothing of that key is posted meanwhile, and while it is being copied nothing is enqueued.
 */

const MOVED_AT_A_TIME = 8;
/** Files that fail one after the other must not fill the memory. */
const KNOWN_AT_MOST = 2_000;
/** What is found leaves room for what comes; the rest is found by a later sweep. */
const FOUND_AT_MOST = 1_000;

/** One staged file. */
interface Staged {
  readonly from: ClassFolder;
  readonly key: string;
  /** What it has to look like at `dueAt`; unknown of one that was found. */
  stamp: Stamp | undefined;
  /** Not before this monotonic time. */
  dueAt: number;
  holdsLock: boolean;
}

export class CrossDeviceMoves {
  readonly #context: SpoolContext;
  readonly #staged = new Map<string, Staged>();
  /** Those that were staged by this process, and not tried yet or being moved. */
  readonly #ahead = new Set<Staged>();
  readonly #moving = new Map<Staged, Promise<void>>();
  #isStopping = false;

  constructor(context: SpoolContext) {
    this.#context = context;
  }

  /** Whether one more file may be staged now. */
  get hasRoom(): boolean {
    const isFull = this.#ahead.size >= MOVED_AT_A_TIME || this.#staged.size >= KNOWN_AT_MOST;
    return !isFull && this.#pause() === 0;
  }

  /** Milliseconds until a staged file can be worked on; Infinity when there is none. */
  get untilDue(): number {
    let due = Infinity;
    for (const staged of this.#staged.values()) {
      if (!this.#moving.has(staged)) due = Math.min(due, staged.dueAt);
    }
    return Math.max(due - this.#context.clock.monotonic(), this.#pause());
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
    from.mayHoldStaged = true;
    try {
      renameSync(from.folder.at(rawName), from.folder.at(STAGED_PREFIX + key));
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT' || from.folder.lstat(rawName) !== undefined) throw error;
    } finally {
      // Also after an error, which may be a lie (NFS, where the answer got lost): the try will see.
      this.#add(from, key, stamp);
    }
  }

  /** A folder was opened: looks whether an earlier daemon left something half-way in it. */
  async opened(from: ClassFolder): Promise<void> {
    for (const { rawName } of from.folder.list()) {
      if (stagedKey(rawName) !== undefined) return;
      await yieldIfDue();
    }
    from.mayHoldStaged = false;
  }

  /** A sweep came upon a dotted name, which may be a file that lies staged. */
  found(from: ClassFolder, rawName: string, regular: boolean): void {
    const key = stagedKey(rawName);
    if (key === undefined || this.#staged.has(idOf(from.verdict, key))) return;
    from.mayHoldStaged = true;
    const { stuck } = this.#context;
    const isUnfit = !regular || stuck.isKnown(from.verdict, rawName, 'unfit');
    if (isUnfit) stuck.note(from.verdict, rawName, 'unfit');
    else if (this.#staged.size < FOUND_AT_MOST) this.#add(from, key, undefined);
  }

  /** True when a file of this key is staged and nothing is being done with it. */
  isWaiting(key: string): boolean {
    if ([...this.#moving.keys()].some((staged) => staged.key === key)) return false;
    const { verdicts } = this.#context.drop;
    return verdicts.some((verdict) => this.#staged.get(idOf(verdict, key))?.holdsLock === true);
  }

  /**
   * Removes what is staged of a key.
   * @param verdict the one that supersedes the others. @defaultValue none stays
   */
  supersede(key: string, verdict?: Verdict): void {
    const { drop, events } = this.#context;
    for (const from of drop.folders.filter((each) => each.verdict !== verdict)) {
      // First of all: where that fails it must not be forgotten.
      const wasThere = from.mayHoldStaged && from.folder.removeFile(STAGED_PREFIX + key);
      const staged = this.#staged.get(idOf(from.verdict, key));
      if (staged !== undefined) this.#forget(staged);
      if (wasThere) events.superseded(from.verdict, key);
    }
  }

  /** Starts moving what is due. */
  step(): void {
    const { faults, temporary, onDue } = this.#context;
    // On a disk that was full several copies would take each other's last space.
    const limit = faults.retryAt(temporary.path) > 0 ? 1 : MOVED_AT_A_TIME;
    while (this.#moving.size < limit) {
      const staged = this.#nextDue();
      if (staged === undefined) return;
      const work = this.#try(staged).finally(() => {
        this.#moving.delete(staged);
        this.#ahead.delete(staged);
        onDue();
      });
      this.#moving.set(staged, work);
    }
  }

  /**
   * Starts nothing more; resolves when nothing is under way and no key is locked. This process may own
   * the spool again, and finds then what lies staged.
   */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await Promise.all(this.#moving.values());
    for (const staged of this.#staged.values()) this.#forget(staged);
  }

  #pause(): number {
    return this.#context.faults.pause(this.#context.temporary.path);
  }

  #add(from: ClassFolder, key: string, stamp: Stamp | undefined): void {
    const staged = { from, key, stamp, dueAt: 0, holdsLock: this.#lock(key) };
    this.#staged.set(idOf(from.verdict, key), staged);
    if (stamp !== undefined) this.#ahead.add(staged);
  }

  /** Locks a key, unless it is in flight: then false. */
  #lock(key: string): boolean {
    const { locks } = this.#context;
    if (locks.isKeyHeld(key)) return false;
    locks.holdKey(key);
    return true;
  }

  #forget(staged: Staged): void {
    const { locks, faults, temporary } = this.#context;
    this.#staged.delete(idOf(staged.from.verdict, staged.key));
    this.#ahead.delete(staged);
    if (staged.holdsLock) locks.releaseKey(staged.key);
    staged.holdsLock = false;
    // Nothing is left that could still fail, unless it is left to the next owner.
    if (this.isEmpty && !this.#isStopping) faults.clear(temporary.path);
  }

  /** Lets a staged file wait, behind all others. */
  #defer(staged: Staged, ms: number): void {
    staged.dueAt = this.#context.clock.monotonic() + ms;
    const id = idOf(staged.from.verdict, staged.key);
    if (this.#staged.get(id) !== staged) return;
    this.#staged.delete(id);
    this.#staged.set(id, staged);
  }

  #nextDue(): Staged | undefined {
    if (this.#isStopping || this.#pause() > 0) return undefined;
    const now = this.#context.clock.monotonic();
    for (const staged of this.#staged.values()) {
      if (staged.dueAt <= now && !this.#moving.has(staged)) return staged;
    }
    return undefined;
  }

  async #try(staged: Staged): Promise<void> {
    const { faults, temporary, events } = this.#context;
    const move = (): Promise<boolean> => this.#moveUnlessClosed(staged);
    const isMoved = await faults.guard(temporary.path, move, { proves: (moved) => moved });
    if (isMoved !== FAULTED) return;
    events.rescan(); // the file may have come into the queue all the same
    // When the pause is over others go first: one that fits, or a newer verdict of this one.
    this.#defer(staged, 1.5 * DiskFaults.retryMs);
  }

  async #moveUnlessClosed(staged: Staged): Promise<boolean> {
    try {
      return await this.#move(staged);
    } catch (error) {
      if (!staged.from.folder.isClosed) throw error;
      // The folder was replaced: what was staged there is found again when it comes back.
      this.#forget(staged);
      return false;
    }
  }

  /** Tries to move a file. Resolves to whether that has shown that the disk works. */
  async #move(staged: Staged): Promise<boolean> {
    const { settleMs, maxBytes, stuck, events } = this.#context;
    const { from, key } = staged;
    // The key was in flight when this was found.
    staged.holdsLock ||= this.#lock(key);
    if (!staged.holdsLock) {
      this.#defer(staged, settleMs);
      return false;
    }
    const found = from.folder.lstat(STAGED_PREFIX + key);
    if (found === undefined || this.#isOutdated(from, key, found.mtimeNs)) {
      this.#forget(staged);
      return false;
    }
    if (!found.isFile() || found.nlink > 1n || found.size > BigInt(maxBytes)) {
      this.#forget(staged);
      stuck.note(from.verdict, STAGED_PREFIX + key, 'unfit');
      return false;
    }
    const stamp = stampOf(found);
    const isSettled = staged.stamp !== undefined && sameStamp(staged.stamp, stamp);
    if (!isSettled || found.size === 0n) {
      const isMarked = staged.stamp === undefined && bearsFinishingMark(found.mode);
      staged.stamp = stamp;
      this.#defer(staged, settleTime(isMarked, settleMs));
      return false;
    }
    const entry = await this.#copy(from, key, stamp);
    if (entry === undefined) this.#defer(staged, settleMs);
    else {
      this.#forget(staged);
      events.enqueued(entry, true);
    }
    return true;
  }

  /**
   * The queue, or another class folder, holds a newer verdict: the staged one is removed. Of the
   * same verdict the queue can only hold an older file, or an earlier copy of this one.
   */
  #isOutdated(from: ClassFolder, key: string, mtimeNs: bigint): boolean {
    const { queue, events, drop } = this.#context;
    const isOutdated = othersOf(drop.verdicts, from.verdict).some((other) =>
      [
        queue.find(other, key)?.stamp.mtimeNs,
        drop.get(other)?.folder.lstat(STAGED_PREFIX + key)?.mtimeNs,
      ].some((its) => its !== undefined && takesPrecedence(other, its, from.verdict, mtimeNs)),
    );
    if (!isOutdated) return false;
    from.folder.removeFile(STAGED_PREFIX + key);
    events.superseded(from.verdict, key);
    events.rescan(); // what was forgotten by that may be the newer one
    return true;
  }

  /** Copies a file into the queue; `undefined` when it changed meanwhile. */
  async #copy(from: ClassFolder, key: string, stamp: Stamp): Promise<QueueEntry | undefined> {
    const { queue, temporary } = this.#context;
    const { verdict, folder } = from;
    const name = STAGED_PREFIX + key;
    let isWhole = false;
    try {
      const isCopied = await copyStaged(from, key, stamp, temporary);
      const now = folder.lstat(name);
      isWhole = isCopied && now !== undefined && sameStamp(now, stamp);
    } finally {
      if (!isWhole) temporary.removeFile(key); // half a copy would go on filling a full disk
    }
    if (!isWhole) return undefined;
    // Staged twins are older, and must go while that still shows: a copy's mtime is nearly right.
    this.supersede(key, verdict);
    queue.removeKey(key);
    const entry = queue.adopt(temporary, key, verdict, key);
    if (entry === undefined) return undefined; // somebody removed the copy
    await syncFolder(queue.folder(verdict));
    const left = folder.lstat(name);
    if (left !== undefined && !sameStamp(left, stamp)) {
      queue.removeKey(key); // its writer went on meanwhile: the copy is outdated, whatever its mtime
      return undefined;
    }
    folder.removeFile(name);
    return entry;
  }
}
