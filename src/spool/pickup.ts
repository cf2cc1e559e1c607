import { setImmediate as nextTurn } from 'node:timers/promises';
import { sleep } from '../clock.ts';
import type { Clock, Timer } from '../clock.ts';
import type { Log, LogThrottle } from '../logger.ts';
import { Doorbell } from './doorbell.ts';
import type { DropDirectory } from './drop-directory.ts';
import { Faults } from './faults.ts';
import type { Folder } from './folder.ts';
import { Gate } from './gate.ts';
import { Intake, idOf } from './intake.ts';
import type { IntakeOptions, Look, PickupListener } from './intake.ts';
import { VERDICTS } from './message.ts';
import type { Verdict } from './message.ts';
import type { LockResult } from './owner.ts';

/**
 * Pickup: sees to it that every file of the drop directory is looked at when it is worth it.
 *
 * It works in turns. A turn looks at the names that the doorbell rang for, at the files that were
 * to be looked at again by now, and, when that is due, sweeps the whole folders. Nothing here waits
 * for rspamd.
 */

/** Files that settle at a time; the rest of a larger folder waits its turn. */
export const GATE_ROOM = 20_000;
/** With more files than this in a folder, chokidar's own listing eats the CPU. */
const DOORBELL_LIMIT = 5_000;
/** How often paths are compared with what is open, and folders without a doorbell are swept. */
const CHECK_MS = 2_000;
/** A sweep may take at most this part of the time. */
const SWEEP_SHARE = 10;
/** Work at a stretch before others get the event loop. */
const STRETCH_MS = 10;
/** Looks that fall due within this time are one turn. */
const GATHER_MS = 10;
/** One pass looks at least this often for keys that were released. */
const PASS_STEP_MS = 100;
/** A file that waits for its key is looked at anyway after this time. */
const BLOCKED_MS = 5_000;

export interface PickupOptions extends Omit<IntakeOptions, 'gate'> {
  readonly throttle: LogThrottle;
  readonly lock: (folder: Folder) => Promise<LockResult>;
  readonly sweepMs: number;
  readonly polling: boolean;
}

interface Waiting {
  readonly verdict: Verdict;
  readonly rawName: string;
  /** Monotonic time of the next look. */
  due: number;
}

export class Pickup {
  readonly #options: PickupOptions;
  readonly #drop: DropDirectory;
  readonly #faults: Faults;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #listener: PickupListener;
  readonly #gate: Gate;
  readonly #intake: Intake;
  readonly #doorbell: Doorbell;
  readonly #rung = new Map<string, Waiting>();
  readonly #waiting = new Map<string, Waiting>();
  readonly #blocked = new Map<string, Waiting>();
  readonly #stop = new AbortController();
  #takesTurns = false;
  #taken = 0;
  #sweepDue = 0;
  #checkDue = 0;
  #timer: Timer | undefined;
  #plannedFor = Infinity;
  #turn: Promise<void> | undefined;
  #stretch = 0;

  constructor(options: PickupOptions) {
    this.#options = options;
    this.#drop = options.drop;
    this.#faults = options.faults;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#listener = options.listener;
    this.#gate = new Gate({
      settleMs: options.settleMs,
      room: GATE_ROOM,
      now: () => options.clock.monotonic(),
    });
    this.#intake = new Intake({ ...options, gate: this.#gate });
    this.#doorbell = new Doorbell({
      onRing: (verdict, rawName) => {
        this.#ring(verdict, rawName);
      },
      onFailure: (verdict, code) => {
        this.#doorbellFailed(verdict, code);
      },
    });
  }

  /**
   * Opens the folders and finishes what an earlier owner left half-way; to be awaited before
   * anything is picked up or posted.
   */
  async prepare(): Promise<void> {
    await this.#checkFolders();
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

  /** The key is no longer in flight: the file that waited for that is looked at again. */
  release(key: string): void {
    const waiting = this.#blocked.get(key);
    if (waiting === undefined) return;
    this.#blocked.delete(key);
    waiting.due = 0;
    this.#plan();
  }

  /**
   * One pass for `watch --once`: takes what is there now and passes the gate; a file that is still
   * being written gets twice the settle time.
   * @returns how many files stay
   */
  async pass(): Promise<number> {
    const deadline = this.#clock.monotonic() + 2 * this.#options.settleMs + 1_000;
    let stays = await this.#sweep();
    while (this.#waiting.size > 0 && this.#clock.monotonic() < deadline && !this.#stopping) {
      const ms = Math.min(this.#untilDue(), PASS_STEP_MS) + GATHER_MS;
      await sleep(this.#clock, ms, this.#stop.signal);
      stays += await this.#lookAgain();
    }
    return stays + this.#waiting.size;
  }

  /** Stops; resolves when nothing is under way any more. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#timer?.cancel();
    this.#doorbell.close();
    await this.#intake.stop();
    await this.#turn;
  }

  get #stopping(): boolean {
    return this.#stop.signal.aborted;
  }

  // --- turns

  #ring(verdict: Verdict, rawName: string | undefined): void {
    if (rawName === undefined || this.#rung.size >= GATE_ROOM) this.#sweepDue = 0;
    else if (rawName.startsWith('.')) return;
    else this.#rung.set(idOf(verdict, rawName), { verdict, rawName, due: 0 });
    if (this.#plannedFor - this.#clock.monotonic() > GATHER_MS) this.#plan();
  }

  /** Sets the timer for the next turn; a turn that is under way does so at its end. */
  #plan(): void {
    if (!this.#takesTurns || this.#stopping || this.#turn !== undefined) return;
    this.#timer?.cancel();
    const ms = this.#untilNextTurn();
    this.#plannedFor = this.#clock.monotonic() + ms;
    this.#timer = this.#clock.after(ms, () => {
      this.#turn = this.#work()
        .catch((error: unknown) => {
          this.#faults.raise('the drop directory', error);
          this.#checkDue = this.#clock.monotonic() + Faults.retryMs;
        })
        .finally(() => {
          this.#turn = undefined;
          this.#plan();
        });
    });
  }

  #untilNextTurn(): number {
    const now = this.#clock.monotonic();
    const looks = this.#rung.size > 0 ? 0 : this.#untilDue();
    const sweep = this.#sweepDue - now;
    const work = Math.max(GATHER_MS, Math.min(looks, sweep), this.#pause());
    return Math.max(GATHER_MS, Math.min(work, this.#checkDue - now));
  }

  /** Milliseconds until a class folder with a local fault is tried again. */
  #pause(): number {
    return Math.max(...VERDICTS.map((verdict) => this.#faults.pause(this.#drop.path(verdict))));
  }

  #untilDue(): number {
    let due = Infinity;
    for (const waiting of this.#waiting.values()) due = Math.min(due, waiting.due);
    return Math.max(0, due - this.#clock.monotonic());
  }

  async #work(): Promise<void> {
    this.#stretch = performance.now();
    if (this.#checkDue <= this.#clock.monotonic()) await this.#checkFolders();
    if (this.#pause() > 0) return;
    const rung = [...this.#rung.values()];
    this.#rung.clear();
    for (const { verdict, rawName } of rung) {
      if (this.#look(verdict, rawName) === 'full') this.#sweepDue = 0;
      await this.#breathe();
    }
    await this.#lookAgain();
    if (this.#sweepDue <= this.#clock.monotonic()) await this.#sweep();
  }

  /** Gives the event loop to others when this turn has had it for a while. */
  async #breathe(): Promise<void> {
    if (performance.now() - this.#stretch < STRETCH_MS) return;
    await nextTurn();
    this.#stretch = performance.now();
  }

  /** Looks at one file and notes when to do so again. */
  #look(verdict: Verdict, rawName: string): Look['kind'] {
    const id = idOf(verdict, rawName);
    if (this.#faults.pause(this.#drop.path(verdict)) > 0) return 'wait';
    let look: Look;
    try {
      look = this.#intake.look(verdict, rawName);
    } catch (error) {
      this.#faults.raise(this.#drop.path(verdict), error);
      this.#sweepDue = 0; // once the pause is over
      return 'wait';
    }
    this.#waiting.delete(id);
    switch (look.kind) {
      case 'wait':
      case 'blocked': {
        const ms = look.kind === 'wait' ? look.ms : BLOCKED_MS;
        const waiting = { verdict, rawName, due: this.#clock.monotonic() + ms };
        this.#waiting.set(id, waiting);
        if (look.kind === 'blocked') this.#blocked.set(look.key, waiting);
        break;
      }
      case 'taken':
        this.#taken += 1;
        this.#faults.clear(this.#drop.path(verdict));
        break;
      case 'stays':
      case 'gone':
      case 'full':
        break;
    }
    return look.kind;
  }

  /** Looks at what is due. Resolves to how many of them stay for good. */
  async #lookAgain(): Promise<number> {
    const now = this.#clock.monotonic();
    let stays = 0;
    for (const waiting of [...this.#waiting.values()]) {
      if (waiting.due > now) continue;
      if (this.#stopping) break;
      if (this.#look(waiting.verdict, waiting.rawName) === 'stays') stays += 1;
      await this.#breathe();
    }
    for (const [key, waiting] of this.#blocked) {
      if (waiting.due <= now) this.#blocked.delete(key);
    }
    return stays;
  }

  // --- sweeps

  /** Looks at every file once, both folders by turns. Resolves to how many stay for good. */
  async #sweep(): Promise<number> {
    const started = this.#clock.monotonic();
    const takenBefore = this.#taken;
    let entries = 0;
    let stays = 0;
    let whole = true;
    const lists = VERDICTS.flatMap((verdict) => {
      const opened = this.#drop.get(verdict);
      return opened === undefined ? [] : [{ verdict, list: opened.folder.list() }];
    });
    const unfinished = new Set(lists);
    try {
      while (unfinished.size > 0 && !this.#stopping) {
        for (const each of unfinished) {
          const next = each.list.next();
          if (next.done === true) {
            unfinished.delete(each);
            continue;
          }
          const { rawName, regular } = next.value;
          if (rawName.startsWith('.')) continue;
          entries += 1;
          const kind = regular
            ? this.#look(each.verdict, rawName)
            : this.#intake.ignore(each.verdict, rawName).kind;
          if (kind === 'stays' && regular) stays += 1;
          if (kind === 'full') {
            await this.#makeRoom();
            if (this.#look(each.verdict, rawName) === 'full') whole = false;
          }
          await this.#breathe();
        }
      }
    } catch (error) {
      whole = false;
      const [failed] = unfinished;
      if (failed !== undefined) this.#faults.raise(this.#drop.path(failed.verdict), error);
    } finally {
      for (const { list } of unfinished) list.return();
    }
    if (this.#stopping) return stays;
    if (whole) this.#intake.endSweep();
    this.#armDoorbells(entries - (this.#taken - takenBefore));
    this.#planSweep(started, whole);
    return stays;
  }

  #planSweep(started: number, whole: boolean): void {
    const { sweepMs } = this.#options;
    const now = this.#clock.monotonic();
    const rings = VERDICTS.every(
      (verdict) => this.#drop.get(verdict) === undefined || this.#doorbell.isArmed(verdict),
    );
    const interval = rings && whole ? sweepMs : Math.min(CHECK_MS, sweepMs);
    this.#sweepDue = now + Math.max(interval, (now - started) * SWEEP_SHARE * (whole ? 1 : 0));
  }

  /** Waits until something left the gate. */
  async #makeRoom(): Promise<void> {
    while (this.#gate.isFull && !this.#stopping) {
      const taken = this.#taken;
      await sleep(this.#clock, Math.max(this.#untilDue(), this.#pause(), 1), this.#stop.signal);
      await this.#lookAgain();
      if (this.#taken === taken) return; // what is in there waits for something else
    }
  }

  // --- folders and doorbells

  async #checkFolders(): Promise<void> {
    this.#checkDue = this.#clock.monotonic() + CHECK_MS;
    for (const opened of this.#drop.refresh()) {
      this.#doorbell.disarm(opened.verdict);
      if ((await this.#options.lock(opened.folder)) === 'held') {
        this.#drop.drop(opened.verdict);
        this.#listener.lost(`${opened.folder.path} is locked by another process`);
        return;
      }
      this.#sweepDue = 0;
      await this.#intake.finishStaged(opened);
    }
  }

  /** Watches the folders whose files were taken; with many left a watch costs more than it brings. */
  #armDoorbells(left: number): void {
    if (this.#options.polling || !this.#takesTurns) return;
    for (const verdict of VERDICTS) {
      if (left > DOORBELL_LIMIT || this.#drop.get(verdict) === undefined) {
        this.#doorbell.disarm(verdict);
      } else if (!this.#doorbell.isArmed(verdict)) {
        this.#doorbell.arm(verdict, this.#drop.path(verdict));
      }
    }
  }

  #doorbellFailed(verdict: Verdict, code: string): void {
    if (this.#stopping || !this.#options.throttle.allows(`doorbell ${verdict}`, code)) return;
    const cure =
      code === 'ENOSPC' || code === 'EMFILE'
        ? 'raise fs.inotify.max_user_watches and fs.inotify.max_user_instances'
        : 'set LEARN_POLLING=yes where the file system has no inotify';
    const place = this.#drop.path(verdict);
    this.#log(
      'warning',
      'disk.fault',
      `${place} can't be watched (${code}); it is swept every 2 s instead. ${cure}`,
      { place, code },
    );
  }
}
