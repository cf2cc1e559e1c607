import type { Bugs } from '../bugs.ts';
import { sleep } from '../clock.ts';
import type { Clock, Timer } from '../clock.ts';
import type { Log, LogThrottle } from '../logger.ts';
import { VERDICTS } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';
import { yieldIfDue } from '../yield-if-due.ts';
import { CrossDeviceMoves } from './cross-device-move.ts';
import { DiskFaults } from './disk-faults.ts';
import type { ClassFolder, DropDirectory } from './drop-directory.ts';
import { Enqueuer } from './enqueue.ts';
import type { SpoolEvents } from './events.ts';
import type { Folder } from './folder.ts';
import { Gate } from './gate.ts';
import { Looks } from './looks.ts';
import type { MessageLocks } from './message-locks.ts';
import type { LockResult } from './owner.ts';
import type { Quarantine } from './quarantine.ts';
import type { Queue } from './queue.ts';
import type { Requeue } from './requeue.ts';
import { listByTurns } from './turns.ts';
import { FolderWatcher } from './watcher.ts';

/**
 * Pickup: sees to it that every file of the drop directory is looked at when that is worth it.
 *
 * It works in turns. A turn looks at the names that the watcher hinted at, at the files that were to be
 * looked at again by now, and, when that is due, sweeps the whole folders. Nothing here waits for
 * rspamd.
 */

/**
 * Files that settle at a time; the rest of a larger folder waits its turn. So many are enough to
 * keep pickup busy for the time that a marked file settles.
 */
const GATE_ROOM = 5_000;
/** How often paths are compared with what is open, and folders without a watch are swept. */
const CHECK_MS = 2_000;
/** Sweeps over files that stay take at most this part of the time. */
const SWEEP_SHARE = 10;
/** Looks that fall due within this time are one turn. */
const GATHER_MS = 10;
/** How often one pass, or a full gate, looks again. */
const STEP_MS = 100;

/** Names both class folders among the places that disk faults pause. */
const DROP_DIRECTORY = 'the drop directory';

export interface PickupOptions {
  readonly drop: DropDirectory;
  readonly queue: Queue;
  readonly quarantine: Quarantine;
  readonly requeue: Pick<Requeue, 'has' | 'removeKey'>;
  /** Where copies from another file system are made. */
  readonly temporary: Folder;
  readonly locks: MessageLocks;
  readonly events: SpoolEvents;
  /** The drop directory belongs to another daemon. */
  readonly onLost: (reason: string) => void;
  readonly faults: DiskFaults;
  readonly bugs: Bugs;
  readonly clock: Clock;
  readonly log: Log;
  readonly throttle: LogThrottle;
  readonly lock: (folder: Folder) => Promise<LockResult>;
  readonly settleMs: number;
  readonly sweepMs: number;
  readonly polling: boolean;
  readonly maxBytes: number;
}

export class Pickup {
  readonly #options: PickupOptions;
  readonly #gate: Gate;
  readonly #moves: CrossDeviceMoves;
  readonly #enqueuer: Enqueuer;
  readonly #looks: Looks;
  readonly #watcher: FolderWatcher;
  readonly #stop = new AbortController();
  #takesTurns = false;
  #sweepDue = 0;
  #checkDue = 0;
  #timer: Timer | undefined;
  #plannedFor = Infinity;
  #turn: Promise<void> | undefined;
  /** When a turn that is under way last came a step further. */
  #movedAt = 0;

  constructor(options: PickupOptions) {
    const { clock, settleMs, locks } = options;
    this.#options = options;
    this.#gate = new Gate({ settleMs, room: GATE_ROOM, now: () => clock.monotonic() });
    this.#moves = new CrossDeviceMoves({
      ...options,
      onUnfit: (from, name) => {
        this.#enqueuer.unfit(from, name);
      },
      onRoom: () => {
        this.#plan();
      },
    });
    this.#enqueuer = new Enqueuer({ ...options, gate: this.#gate, moves: this.#moves });
    this.#looks = new Looks({ ...options, enqueuer: this.#enqueuer });
    this.#watcher = new FolderWatcher({
      ...options,
      onChange: (verdict, rawName) => {
        this.#changed(verdict, rawName);
      },
      onFailure: () => {
        this.#sweepSoon();
        this.#plan();
      },
    });
    locks.onKeyReleased((key) => {
      if (this.#looks.release(key)) this.#plan();
    }, this.#stop.signal);
  }

  /** Starts working, turn by turn. */
  start(): void {
    this.#takesTurns = true;
    this.#plan();
  }

  /** Sweeps now, whatever was due. */
  sweepNow(): void {
    this.#sweepDue = 0;
    this.#checkDue = 0;
    this.#plan();
  }

  /**
   * One pass for `watch --once`: takes what is there now and passes the gate; a file that is still
   * being written gets twice the settle time.
   * @returns how many files stay
   */
  async pass(): Promise<number> {
    const { clock, settleMs } = this.#options;
    let stays = await this.#sweep();
    const deadline = clock.monotonic() + 2 * settleMs + 1_000;
    while (!this.#isIdle && clock.monotonic() < deadline && !this.#isStopping) {
      this.#moves.step();
      const ms = Math.min(this.#looks.untilDue, STEP_MS) + GATHER_MS;
      await sleep(clock, ms, this.#stop.signal);
      stays += await this.#lookAgain();
    }
    return stays + this.#looks.waiting + (this.#isIdle ? 0 : 1);
  }

  /** Milliseconds since it should have come a step further; 0 while it does. */
  get overdueMs(): number {
    if (!this.#takesTurns || this.#isStopping) return 0;
    const since = this.#turn === undefined ? this.#plannedFor : this.#movedAt;
    return Math.max(0, this.#options.clock.monotonic() - since);
  }

  /** Stops; resolves when nothing is under way any more. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#timer?.cancel();
    this.#watcher.close();
    await this.#turn;
    await this.#moves.stop();
  }

  get #isIdle(): boolean {
    return this.#looks.waiting === 0 && this.#moves.isEmpty;
  }

  get #isStopping(): boolean {
    return this.#stop.signal.aborted;
  }

  // --- turns

  #changed(verdict: Verdict, rawName: string | undefined): void {
    if (rawName?.startsWith('.') === true) return;
    if (rawName === undefined || !this.#looks.hint(verdict, rawName)) this.#sweepDue = 0;
    if (this.#plannedFor - this.#options.clock.monotonic() > GATHER_MS) this.#plan();
  }

  /** Sets the timer for the next turn; a turn that is under way does so at its end. */
  #plan(): void {
    if (!this.#takesTurns || this.#isStopping || this.#turn !== undefined) return;
    const { clock, faults } = this.#options;
    this.#timer?.cancel();
    const ms = this.#untilNextTurn();
    this.#plannedFor = clock.monotonic() + ms;
    this.#timer = clock.after(ms, () => {
      this.#movedAt = clock.monotonic();
      // It begins once it is known to be under way: what it does at once may plan the next one.
      this.#turn = Promise.resolve()
        .then(() => this.#work())
        .catch((error: unknown) => {
          faults.raise(DROP_DIRECTORY, error);
          this.#checkDue = clock.monotonic() + DiskFaults.retryMs;
        })
        .finally(() => {
          this.#turn = undefined;
          this.#plan();
        });
    });
  }

  #untilNextTurn(): number {
    const now = this.#options.clock.monotonic();
    const looks = Math.min(this.#looks.untilDue, this.#moves.untilDue);
    return Math.max(GATHER_MS, Math.min(looks, this.#sweepDue - now, this.#checkDue - now));
  }

  async #work(): Promise<void> {
    const { clock, faults } = this.#options;
    const isCheck = this.#checkDue <= clock.monotonic();
    if (isCheck) await this.openFolders();
    this.#moves.step();
    for (const { verdict, rawName } of this.#looks.takeHints()) {
      if (this.#look(verdict, rawName) === 'full') this.#sweepDue = 0;
      await this.#yieldIfDue();
    }
    await this.#lookAgain();
    if (this.#sweepDue <= clock.monotonic()) await this.#sweep();
    if (isCheck) faults.clear(DROP_DIRECTORY);
  }

  /** Notes that the turn came a step further where it gave the event loop to others. */
  async #yieldIfDue(): Promise<boolean> {
    const hasYielded = await yieldIfDue();
    if (hasYielded) this.#movedAt = this.#options.clock.monotonic();
    return hasYielded;
  }

  #look(verdict: Verdict, rawName: string): ReturnType<Looks['look']> {
    const kind = this.#looks.look(verdict, rawName);
    if (kind === 'fault') this.#sweepSoon();
    return kind;
  }

  #sweepSoon(): void {
    this.#sweepDue = Math.min(this.#sweepDue, this.#options.clock.monotonic() + CHECK_MS);
  }

  /** Looks at what is due. Resolves to how many of them stay for good. */
  async #lookAgain(): Promise<number> {
    let stays = 0;
    for (const { verdict, rawName } of this.#looks.takeDue()) {
      if (this.#isStopping) break;
      if (this.#look(verdict, rawName) === 'stays') stays += 1;
      await this.#yieldIfDue();
    }
    return stays;
  }

  // --- sweeps

  /** Looks at every file once, both folders by turns. Resolves to how many stay for good. */
  async #sweep(): Promise<number> {
    const { clock, drop } = this.#options;
    const started = clock.monotonic();
    const takenBefore = this.#looks.taken;
    let entries = 0;
    let stays = 0;
    let idle = 0;
    let whole = true;
    for (const { verdict, entry } of this.#entries()) {
      const from = drop.get(verdict);
      if (this.#isStopping || from === undefined) break;
      // What falls due meanwhile doesn't wait for the end of a long sweep.
      if (await this.#yieldIfDue()) {
        this.#moves.step();
        stays += await this.#lookAgain();
      }
      const { rawName, regular } = entry;
      if (rawName.startsWith('.')) {
        this.#moves.found(from, rawName, regular);
        continue;
      }
      entries += 1;
      const kind = await this.#lookInSweep(verdict, rawName, regular);
      if (kind === 'stays') idle += 1;
      if (kind === 'stays' && regular) stays += 1;
      if (kind === 'full') whole = false;
      // Nothing leaves the gate: the rest has to wait for another sweep.
      if (!whole && this.#gate.isFull) break;
    }
    if (this.#isStopping) return stays;
    stays += this.#looks.lookAtFailing();
    whole &&= VERDICTS.every((verdict) => !this.#isPaused(verdict));
    this.#endSweep(whole);
    const left = entries - (this.#looks.taken - takenBefore);
    if (this.#takesTurns) this.#watcher.watchFolders(left);
    // What was taken costs the next sweep nothing.
    const cost = ((clock.monotonic() - started) * idle) / Math.max(1, entries);
    this.#planSweep(whole ? cost : 0, whole);
    return whole ? stays : stays + 1;
  }

  /** The names in both class folders; a fault ends those of its folder. */
  #entries(): ReturnType<typeof listByTurns> {
    const { drop, faults } = this.#options;
    const folders = VERDICTS.filter((verdict) => !this.#isPaused(verdict)).flatMap((verdict) => {
      const opened = drop.get(verdict);
      return opened === undefined ? [] : [{ verdict, folder: opened.folder }];
    });
    return listByTurns(folders, (verdict, error) => {
      faults.raise(drop.path(verdict), error);
    });
  }

  #isPaused(verdict: Verdict): boolean {
    const { drop, faults } = this.#options;
    return faults.pause(drop.path(verdict)) > 0;
  }

  /** Where a whole sweep left no file to be taken, there is nothing that could still fail. */
  #endSweep(whole: boolean): void {
    const { drop, faults } = this.#options;
    this.#moves.endSweep(whole);
    if (!whole) {
      if (this.#gate.isFull) this.#gate.makeRoom();
      return;
    }
    this.#enqueuer.endSweep();
    for (const verdict of VERDICTS) {
      const isIdle = !this.#looks.isWaitingIn(verdict) && drop.get(verdict) !== undefined;
      if (isIdle) faults.clear(drop.path(verdict));
    }
  }

  async #lookInSweep(
    verdict: Verdict,
    rawName: string,
    regular: boolean,
  ): Promise<ReturnType<Looks['look']>> {
    if (!regular) return this.#enqueuer.ignore(verdict, rawName).kind;
    const kind = this.#look(verdict, rawName);
    if (kind !== 'full') return kind;
    await this.#makeRoom();
    return this.#look(verdict, rawName);
  }

  /** @param cost milliseconds that the next sweep will take, as far as can be told */
  #planSweep(cost: number, whole: boolean): void {
    const { sweepMs, clock } = this.#options;
    const interval = this.#watcher.isWatchingAll && whole ? sweepMs : CHECK_MS;
    const wait = Math.min(sweepMs, Math.max(interval, cost * SWEEP_SHARE));
    this.#sweepDue = clock.monotonic() + wait;
  }

  /** Waits until something has left the gate, or until it is clear that nothing will. */
  async #makeRoom(): Promise<void> {
    const { clock, settleMs } = this.#options;
    const { taken } = this.#looks;
    const end = clock.monotonic() + 2 * settleMs;
    while (this.#gate.isFull && this.#looks.taken === taken && !this.#isStopping) {
      this.#movedAt = clock.monotonic();
      if (this.#movedAt > end) return;
      this.#moves.step();
      await sleep(clock, Math.min(this.#looks.untilDue, STEP_MS) + 1, this.#stop.signal);
      await this.#lookAgain();
    }
  }

  // --- folders

  /**
   * Opens and locks the folders that are there and were not open, or were replaced; to be awaited before
   * anything is picked up or posted.
   */
  async openFolders(): Promise<void> {
    const { clock, drop } = this.#options;
    this.#checkDue = clock.monotonic() + CHECK_MS;
    const opened = drop.refresh();
    try {
      for (const each of opened) if (!(await this.#begin(each))) return;
    } catch (error) {
      // A folder that isn't locked must not be taken for one that is.
      for (const { verdict } of opened) drop.drop(verdict);
      throw error;
    }
  }

  /** Locks a folder that was just opened; false when another daemon has it. */
  async #begin(opened: ClassFolder): Promise<boolean> {
    const { drop, lock, onLost } = this.#options;
    this.#watcher.unwatch(opened.verdict);
    if ((await lock(opened.folder)) === 'held') {
      drop.drop(opened.verdict);
      onLost(`${opened.folder.path} is locked by another process`);
      return false;
    }
    this.#sweepDue = 0;
    await this.#moves.opened(opened);
    return true;
  }
}
