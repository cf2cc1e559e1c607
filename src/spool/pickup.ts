import { sleep } from '../clock.ts';
import type { Timer } from '../clock.ts';
import type { SpoolContext } from './context.ts';
import { CrossDeviceMoves } from './cross-device-move.ts';
import { DiskFaults, FAULTED } from './disk-faults.ts';
import type { ClassFolder } from './drop-directory.ts';
import { Enqueuer } from './enqueue.ts';
import type { Folder } from './folder.ts';
import { Gate } from './gate.ts';
import type { LockResult } from './owner.ts';
import type { Requeue } from './requeue.ts';
import { CHECK_MS, Scanner } from './scanner.ts';
import { StuckFiles } from './stuck-files.ts';

/**
 * Pickup takes files from the drop directory into the queue. It works in turns, one at a time: a turn
 * compares the folders with their paths, moves what is half-way between two file systems, and lets the
 * scanner look at what is due. Nothing here waits for rspamd.
 */
interface PickupOptions extends Omit<SpoolContext, 'gate' | 'stuck' | 'onDue'> {
  readonly requeue: Requeue;
  /** The drop directory belongs to another daemon. */
  readonly onLost: (reason: string) => void;
  readonly lock: (folder: Folder) => Promise<LockResult>;
}

/**
 * Files that settle at a time; the rest of a larger folder waits its turn. So many are enough to
 * keep pickup busy for the time that a marked file settles.
 */
const GATE_ROOM = 5_000;
/** What falls due within this time is one turn. */
const GATHER_MS = 10;
/** How often one pass looks again. */
const STEP_MS = 100;

/** Names both class folders among the places that disk faults pause. */
const DROP_DIRECTORY = 'the drop directory';

export class Pickup {
  readonly #options: PickupOptions;
  readonly #moves: CrossDeviceMoves;
  readonly #scanner: Scanner;
  readonly #stop = new AbortController();
  #takesTurns = false;
  /** When the folders are compared with their paths. */
  #checkAt = 0;
  #timer: Timer | undefined;
  #plannedFor = Infinity;
  #turn: Promise<void> | undefined;
  /** When a turn that is under way last came a step further. */
  #movedAt = 0;

  constructor(options: PickupOptions) {
    const { clock, settleMs } = options;
    this.#options = options;
    const context = {
      ...options,
      gate: new Gate({ settleMs, room: GATE_ROOM, now: () => clock.monotonic() }),
      stuck: new StuckFiles(options.log),
      onDue: () => {
        if (this.#plannedFor - clock.monotonic() > GATHER_MS) this.#plan();
      },
    };
    const moves = new CrossDeviceMoves(context);
    this.#moves = moves;
    this.#scanner = new Scanner({
      ...context,
      moves,
      enqueuer: new Enqueuer({ ...context, moves }),
      onYield: () => {
        this.#movedAt = clock.monotonic();
      },
    });
  }

  /** Starts working, turn by turn. */
  start(): void {
    this.#takesTurns = true;
    this.#scanner.startWatching();
    this.#plan();
  }

  /** Sweeps now, whatever was due. */
  sweepNow(): void {
    this.#checkAt = 0;
    this.#scanner.sweepNow();
    this.#plan();
  }

  /**
   * One pass for `watch --once`: takes what is there now and passes the gate; a file that is still
   * being written gets twice the settle time.
   * @returns how many files stay
   */
  async pass(): Promise<number> {
    const { clock, settleMs } = this.#options;
    const scanner = this.#scanner;
    scanner.beginSweep();
    let deadline = Infinity;
    while (!this.#isStopping) {
      await this.#step();
      if (!scanner.isSweeping) {
        deadline = Math.min(deadline, clock.monotonic() + 2 * settleMs + 1_000);
        if (this.#isIdle || clock.monotonic() >= deadline) break;
      }
      await sleep(clock, Math.min(scanner.untilDue, STEP_MS) + GATHER_MS, this.#stop.signal);
    }
    return scanner.stays + scanner.waiting + (this.#isIdle ? 0 : 1);
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
    this.#scanner.close();
    await this.#turn;
    await this.#moves.stop();
  }

  /**
   * Opens and locks the folders that are there and were not open, or were replaced; to be awaited before
   * anything is picked up or posted.
   */
  async openFolders(): Promise<void> {
    const { clock, drop } = this.#options;
    this.#checkAt = clock.monotonic() + CHECK_MS;
    const opened = drop.refresh();
    try {
      for (const each of opened) if (!(await this.#begin(each))) return;
    } catch (error) {
      // A folder that isn't locked must not be taken for one that is.
      for (const { verdict } of opened) drop.drop(verdict);
      throw error;
    }
  }

  get #isIdle(): boolean {
    return this.#scanner.waiting === 0 && this.#moves.isEmpty;
  }

  get #isStopping(): boolean {
    return this.#stop.signal.aborted;
  }

  /** Sets the timer for the next turn; a turn that is under way does so at its end. */
  #plan(): void {
    if (!this.#takesTurns || this.#isStopping || this.#turn !== undefined) return;
    const { clock, faults } = this.#options;
    this.#timer?.cancel();
    const untilCheck = this.#checkAt - clock.monotonic();
    const due = Math.min(this.#scanner.untilDue, this.#moves.untilDue, untilCheck);
    const ms = Math.max(GATHER_MS, due);
    this.#plannedFor = clock.monotonic() + ms;
    this.#timer = clock.after(ms, () => {
      this.#movedAt = clock.monotonic();
      // It begins once it is known to be under way: what it does at once may plan the next one.
      this.#turn = Promise.resolve()
        .then(() =>
          faults.guard(DROP_DIRECTORY, () => this.#work(), { proves: (hasChecked) => hasChecked }),
        )
        .then((result) => {
          if (result === FAULTED) this.#checkAt = clock.monotonic() + DiskFaults.retryMs;
        })
        .finally(() => {
          this.#turn = undefined;
          this.#plan();
        });
    });
  }

  /** One turn. Resolves to whether it compared the folders with their paths. */
  async #work(): Promise<boolean> {
    const isCheck = this.#checkAt <= this.#options.clock.monotonic();
    if (isCheck) await this.openFolders();
    await this.#step();
    return isCheck;
  }

  /** Looks at all that is due. What falls due meanwhile doesn't wait for the end of a long sweep. */
  async #step(): Promise<void> {
    do {
      this.#moves.step();
      await this.#scanner.lookAtDue();
      if (this.#takesTurns && this.#scanner.isSweepDue) this.#scanner.beginSweep();
    } while (await this.#scanner.sweepOn());
  }

  /** Locks a folder that was just opened; false when another daemon has it. */
  async #begin(opened: ClassFolder): Promise<boolean> {
    const { drop, lock, onLost } = this.#options;
    const { verdict, folder } = opened;
    if ((await lock(folder)) === 'held') {
      drop.drop(verdict);
      onLost(`${folder.path} is locked by another process`);
      return false;
    }
    await this.#moves.opened(opened);
    this.#scanner.opened(verdict);
    return true;
  }
}
