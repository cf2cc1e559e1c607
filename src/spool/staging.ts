import { renameSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import { errnoOf } from '../errors.ts';
import { copyMessage, syncFolder } from './copy.ts';
import type { ClassFolder } from './drop-directory.ts';
import { Faults } from './faults.ts';
import type { Folder } from './folder.ts';
import { bearsFinishingMark, sameStamp, settleTime, stampOf } from './message.ts';
import { VERDICTS, newerVerdict, otherVerdict } from '../verdict.ts';
import type { QueueEntry, Stamp } from './message.ts';
import type { Verdict } from '../verdict.ts';
import type { Queue } from './queue.ts';

/**
 * The way into a queue on another file system. The file is first renamed inside its class folder to
 * `.learnd-KEY`, which takes it from the writer in one step, then copied, fsynced, renamed into the
 * queue and unlinked. A `.learnd-KEY` counts as a queue file; what a crash left half-way is found by
 * its name and carried over again.
 *
 * A staged key is held from the moment it is staged or found until it lies in the queue: nothing of
 * that key is posted meanwhile, and while it is being copied nothing is picked up. Each try is
 * bounded; a failure is tried again later.
 */
export const PREFIX = '.learnd-';
// What encodeName makes, so that nothing else in the class folder is taken for a staged file.
const STAGED = /^\.learnd-([A-Za-z0-9._=@+%~-]{1,200})$/;
const CARRIED_AT_A_TIME = 8;
/** So many are known of a folder at a time: a crash leaves a handful, a long outage a thousand or two. */
const FOUND_AT_MOST = 1_000;
/** Files that fail one after the other must not fill the memory. */
const STAGED_AT_MOST = 2_000;
const STRETCH_MS = 10;

export interface StagingOptions {
  readonly queue: Queue;
  readonly temporary: Folder;
  readonly faults: Faults;
  readonly clock: Clock;
  readonly settleMs: number;
  readonly maxBytes: number;
  /** Holds a key, unless it is in flight: then false. */
  readonly hold: (key: string) => boolean;
  readonly release: (key: string) => void;
  readonly queued: (entry: QueueEntry) => void;
  /** A file may have come into the queue although carrying it over failed. */
  readonly faulted: () => void;
  /** A staged file gave way to a newer verdict. */
  readonly superseded: (verdict: Verdict, key: string) => void;
  /** What lies there can't be carried over: no regular file of allowed size. */
  readonly unfit: (from: ClassFolder, name: string) => void;
}

/** One staged file. */
interface Staged {
  readonly from: ClassFolder;
  readonly key: string;
  /** What it has to look like at `dueAt`; unknown of one that was found. */
  stamp: Stamp | undefined;
  /** Not before this monotonic time. */
  dueAt: number;
  isHeld: boolean;
  isUnderWay: boolean;
  /** A try met a local fault, which may be of this file alone. */
  hasFailed: boolean;
}

export class Staging {
  readonly #options: StagingOptions;
  readonly #staged = new Map<string, Staged>();
  /** Staged files that can't be carried over and stay where they are. */
  readonly #unfit = new Set<string>();
  /** Folders in which more may lie staged than is known. */
  readonly #beyond = new Set<ClassFolder>();
  #isFindingMore = false;
  readonly #underWay = new Set<Promise<void>>();
  #isStopping = false;
  /** The last try met a local fault: several copies at a time would take each other's last space. */
  #isCautious = false;

  constructor(options: StagingOptions) {
    this.#options = options;
  }

  /** Whether one more file may be staged now. */
  get hasRoom(): boolean {
    const now = this.#options.clock.monotonic();
    let busy = 0;
    for (const { dueAt, stamp, hasFailed } of this.#staged.values()) {
      // What is empty, only found so far, or fails may never come to be carried.
      if (dueAt <= now && stamp !== undefined && stamp.size > 0n && !hasFailed) busy += 1;
    }
    return busy < this.#limit && this.#pause() === 0 && this.#staged.size < STAGED_AT_MOST;
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
    return this.#staged.size === 0 && this.#beyond.size === 0;
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

  /** Finds what lies staged in a folder that was just opened. */
  async find(from: ClassFolder): Promise<void> {
    this.#forgetClosed();
    for (const id of this.#unfit) if (id.startsWith(`${from.verdict}/`)) this.#unfit.delete(id);
    await this.#findNew(from);
  }

  async #findNew(from: ClassFolder): Promise<void> {
    this.#beyond.add(from);
    let stretch = performance.now();
    let found = 0;
    for (const { rawName, regular } of from.folder.list()) {
      const key = STAGED.exec(rawName)?.[1];
      if (key !== undefined && !regular) this.#options.unfit(from, rawName);
      else if (key !== undefined && !this.#knows(idOf(from, key))) {
        if (found < FOUND_AT_MOST) this.#add(from, key, undefined);
        found += 1;
      }
      if (performance.now() - stretch < STRETCH_MS) continue;
      await nextTurn();
      stretch = performance.now();
    }
    // Not before: a newer verdict that comes meanwhile must find what is not listed yet.
    if (found <= FOUND_AT_MOST) this.#beyond.delete(from);
  }

  /** True when a file of this key is staged and nothing is being done with it. */
  isWaiting(key: string): boolean {
    if (this.#staged.size === 0) return false;
    const all = VERDICTS.flatMap((verdict) => this.#staged.get(`${verdict}/${key}`) ?? []);
    return all.some((staged) => staged.isHeld) && all.every((staged) => !staged.isUnderWay);
  }

  /** Removes what is staged of a key in a folder; true when there was something. */
  removeKey(from: ClassFolder, key: string): boolean {
    const id = idOf(from, key);
    const staged = this.#staged.get(id);
    if (!this.#knows(id) && !this.#beyond.has(from)) return false;
    // First of all: where that fails it must not be forgotten.
    const wasThere = from.folder.removeFile(PREFIX + key);
    this.#unfit.delete(id);
    if (staged !== undefined) this.#drop(staged);
    return wasThere;
  }

  /** Starts carrying over what is due. */
  step(): void {
    const now = this.#options.clock.monotonic();
    this.#findMore();
    for (const staged of this.#staged.values()) {
      if (this.#isStopping || this.#underWay.size >= this.#limit || this.#pause() > 0) return;
      if (staged.isUnderWay || staged.dueAt > now) continue;
      staged.isUnderWay = true;
      const work = this.#tryOnce(staged).finally(() => {
        staged.isUnderWay = false;
        this.#underWay.delete(work);
      });
      this.#underWay.add(work);
    }
  }

  /**
   * Starts nothing more; resolves when nothing is under way and no key is held. This process may own
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

  /** Goes on finding once most of what was found has ended. */
  #findMore(): void {
    const [from] = this.#beyond;
    const isFull = this.#staged.size > FOUND_AT_MOST / 2;
    if (from === undefined || isFull || this.#isFindingMore) return;
    if (this.#isStopping || this.#pause() > 0) return;
    this.#isFindingMore = true;
    const work = this.#findNew(from)
      .catch((error: unknown) => {
        if (from.folder.isClosed) this.#beyond.delete(from);
        else this.#options.faults.raise(this.#options.temporary.path, error);
      })
      .finally(() => {
        this.#isFindingMore = false;
        this.#underWay.delete(work);
      });
    this.#underWay.add(work);
  }

  get #limit(): number {
    return this.#isCautious ? 1 : CARRIED_AT_A_TIME;
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
      isHeld: false,
      isUnderWay: false,
      hasFailed: false,
    };
    staged.isHeld = this.#options.hold(key);
    this.#staged.set(idOf(from, key), staged);
  }

  #drop(staged: Staged): void {
    this.#staged.delete(idOf(staged.from, staged.key));
    if (staged.isHeld) this.#options.release(staged.key);
    staged.isHeld = false;
    // Nothing is left that could still fail, unless it is left to the next owner.
    if (this.isEmpty && !this.#isStopping) this.#options.faults.clear(this.#options.temporary.path);
  }

  #letOthersGoFirst(staged: Staged): void {
    const id = idOf(staged.from, staged.key);
    if (this.#staged.get(id) !== staged) return;
    this.#staged.delete(id);
    this.#staged.set(id, staged);
  }

  /** The folder was replaced: what was staged there is found again when it comes back. */
  #forgetClosed(): void {
    for (const from of this.#beyond) if (from.folder.isClosed) this.#beyond.delete(from);
    for (const staged of this.#staged.values()) {
      if (!staged.isUnderWay && staged.from.folder.isClosed) this.#drop(staged);
    }
  }

  async #tryOnce(staged: Staged): Promise<void> {
    const { faults, clock, settleMs, temporary, unfit, hold, faulted } = this.#options;
    const { from, key } = staged;
    const wait = (ms: number): void => {
      staged.dueAt = clock.monotonic() + ms;
      this.#letOthersGoFirst(staged);
    };
    try {
      // The key was in flight when this was found.
      staged.isHeld ||= hold(key);
      if (!staged.isHeld) {
        wait(settleMs);
        return;
      }
      const found = from.folder.lstat(PREFIX + key);
      if (found === undefined || this.#isOutdated(from, key, found.mtimeNs)) {
        this.#drop(staged);
        return;
      }
      if (!found.isFile() || found.nlink > 1n || found.size > BigInt(this.#options.maxBytes)) {
        this.#drop(staged);
        this.#unfit.add(idOf(from, key));
        unfit(from, PREFIX + key);
        return;
      }
      const stamp = stampOf(found);
      const isSettled = staged.stamp !== undefined && sameStamp(staged.stamp, stamp);
      if (!isSettled || found.size === 0n) {
        const isMarked = staged.stamp === undefined && bearsFinishingMark(found.mode);
        staged.stamp = stamp;
        wait(settleTime(isMarked, settleMs));
        return;
      }
      const entry = await this.#carry(from, key, stamp);
      faults.clear(temporary.path);
      this.#isCautious = false;
      if (entry === undefined) wait(settleMs);
      else {
        this.#drop(staged);
        this.#options.queued(entry);
      }
    } catch (error) {
      if (from.folder.isClosed) this.#drop(staged);
      else {
        faults.raise(temporary.path, error);
        faulted();
        this.#isCautious = true;
        staged.hasFailed = true;
        // When the pause is over others go first: one that fits, or a newer verdict of this one.
        wait(1.5 * Faults.retryMs);
      }
    }
  }

  /**
   * The queue, or the other class folder, holds a newer verdict: the staged one is removed. Of the
   * same verdict the queue can only hold an older file, or an earlier copy of this one.
   */
  #isOutdated(from: ClassFolder, key: string, mtimeNs: bigint): boolean {
    const { queue, superseded, faulted } = this.#options;
    const other = otherVerdict(from.verdict);
    const isNewer = (its: bigint | undefined): boolean =>
      its !== undefined &&
      (other === 'spam' ? newerVerdict(its, mtimeNs) : newerVerdict(mtimeNs, its)) === other;
    const queued = queue.find(other, key)?.stamp.mtimeNs;
    const twin = this.#folderOf(other, key);
    const staged = twin?.folder.lstat(PREFIX + key)?.mtimeNs;
    if (!isNewer(queued) && !isNewer(staged)) return false;
    from.folder.removeFile(PREFIX + key);
    superseded(from.verdict, key);
    faulted(); // what was forgotten by that may be the newer one
    return true;
  }

  /** The open folder in which a file of this key lies staged, or may. */
  #folderOf(verdict: Verdict, key: string): ClassFolder | undefined {
    const staged = this.#staged.get(`${verdict}/${key}`);
    const from = staged?.from ?? [...this.#beyond].find((each) => each.verdict === verdict);
    return from?.folder.isClosed === true ? undefined : from;
  }

  /** Its staged twin is older, and must go while that still shows: a copy's mtime is nearly right. */
  #supersedeTwin(from: ClassFolder, key: string): void {
    const other = otherVerdict(from.verdict);
    const twin = this.#folderOf(other, key);
    if (twin !== undefined && this.removeKey(twin, key)) this.#options.superseded(other, key);
  }

  /** Copies a file into the queue; `undefined` when it changed meanwhile. */
  async #carry(from: ClassFolder, key: string, stamp: Stamp): Promise<QueueEntry | undefined> {
    const { queue, temporary } = this.#options;
    try {
      const isWhole = await copyMessage({
        from: from.folder,
        name: PREFIX + key,
        to: temporary,
        key,
        stamp,
        verdict: from.verdict,
      });
      const now = from.folder.lstat(PREFIX + key);
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
    const entry = queue.adopt(temporary, key, from.verdict, key);
    if (entry === undefined) return undefined; // somebody removed the copy
    await syncFolder(queue.folder(from.verdict));
    const left = from.folder.lstat(PREFIX + key);
    if (left !== undefined && !sameStamp(stampOf(left), stamp)) {
      queue.removeKey(key); // its writer went on meanwhile: the copy is outdated, whatever its mtime
      return undefined;
    }
    from.folder.removeFile(PREFIX + key);
    return entry;
  }
}

function idOf(from: ClassFolder, key: string): string {
  return `${from.verdict}/${key}`;
}
