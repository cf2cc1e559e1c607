import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Bugs } from '../bugs.ts';
import { sleep } from '../clock.ts';
import type { Clock, Timer } from '../clock.ts';
import type { Log, LogThrottle } from '../logger.ts';
import { Doorbell } from './doorbell.ts';
import type { ClassFolder, DropDirectory } from './drop-directory.ts';
import { Faults } from './faults.ts';
import type { Folder, FolderEntry } from './folder.ts';
import { Gate } from './gate.ts';
import { Intake, idOf } from './intake.ts';
import type { Look } from './intake.ts';
import { VERDICTS } from '../verdict.ts';
import type { QueueEntry } from './message.ts';
import type { Verdict } from '../verdict.ts';
import type { LockResult } from './owner.ts';
import type { Quarantine } from './quarantine.ts';
import type { Queue } from './queue.ts';
import type { Releases } from './release.ts';
import { Staging } from './staging.ts';

/**
 * Pickup: sees to it that every file of the drop directory is looked at when it is worth it.
 *
 * It works in turns. A turn looks at the names that the doorbell rang for, at the files that were
 * to be looked at again by now, and, when that is due, sweeps the whole folders. Nothing here waits
 * for rspamd.
 */

/**
 * Files that settle at a time; the rest of a larger folder waits its turn. So many are enough to
 * keep pickup busy for the time that a marked file settles.
 */
const GATE_ROOM = 5_000;
/** Of more files that met a fault the oldest are looked at in their turn again. */
const FAILING_AT_MOST = 1_000;
/** With more files than this in a folder, chokidar's own listing eats the CPU. */
const DOORBELL_LIMIT = 5_000;
/** How often paths are compared with what is open, and folders without a doorbell are swept. */
const CHECK_MS = 2_000;
/** Sweeps over files that stay take at most this part of the time. */
const SWEEP_SHARE = 10;
/** Work at a stretch before others get the event loop. */
const STRETCH_MS = 10;
/** Looks that fall due within this time are one turn. */
const GATHER_MS = 10;
/** One pass looks at least this often for keys that were released. */
const PASS_STEP_MS = 100;
/** A file that waits for its key is looked at anyway after this time. */
const BLOCKED_MS = 5_000;

/** Names both class folders among the places that local faults pause. */
const DROP_DIRECTORY = 'the drop directory';

/** What pickup tells the learning side, and asks of it. */
export interface PickupListener {
  /** True while a message of this key is in flight, or held by pickup itself. */
  isHeld(key: string): boolean;
  /** Keeps messages of a key from being posted; `Pickup.release` follows when that ends. */
  hold(key: string): void;
  unhold(key: string): void;
  /** A message came into the queue; `settled` when it is known to be complete. */
  queued(entry: QueueEntry, settled: boolean): void;
  /** What queue or staging held of this key is gone: a newer verdict takes its place. */
  superseded(verdict: Verdict, key: string): void;
  /** A file may have come into the queue although taking it failed. */
  faulted(): void;
  /** The drop directory belongs to another daemon. */
  lost(reason: string): void;
}

export interface PickupOptions {
  readonly drop: DropDirectory;
  readonly queue: Queue;
  readonly quarantine: Quarantine;
  readonly releases: Pick<Releases, 'has' | 'removeKey'>;
  /** Where copies from another file system are made. */
  readonly temporary: Folder;
  readonly faults: Faults;
  readonly bugs: Bugs;
  readonly clock: Clock;
  readonly log: Log;
  readonly throttle: LogThrottle;
  readonly listener: PickupListener;
  readonly lock: (folder: Folder) => Promise<LockResult>;
  readonly settleMs: number;
  readonly sweepMs: number;
  readonly polling: boolean;
  readonly maxBytes: number;
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
  readonly #staging: Staging;
  readonly #intake: Intake;
  readonly #doorbell: Doorbell;
  readonly #rung = new Map<string, Waiting>();
  readonly #waiting = new Map<string, Waiting>();
  readonly #blocked = new Map<string, Waiting>();
  /** Files that met a fault: they are tried again when all others have had their turn. */
  readonly #failing = new Map<string, Omit<Waiting, 'due'>>();
  /** Folders that are said not to be watched. */
  readonly #deaf = new Set<Verdict>();
  readonly #stop = new AbortController();
  #takesTurns = false;
  #taken = 0;
  #sweepDue = 0;
  #checkDue = 0;
  #timer: Timer | undefined;
  #plannedFor = Infinity;
  #turn: Promise<void> | undefined;
  /** When a turn that is under way last came a step further. */
  #movedAt = 0;
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
    const { listener } = options;
    this.#staging = new Staging({
      ...options,
      hold: (key) => {
        if (listener.isHeld(key)) return false;
        listener.hold(key);
        return true;
      },
      release: (key) => {
        listener.unhold(key);
        this.release(key);
        this.#plan(); // there is room for another one
      },
      queued: (entry) => {
        listener.queued(entry, true);
      },
      superseded: (verdict, key) => {
        listener.superseded(verdict, key);
      },
      faulted: () => {
        listener.faulted();
      },
      unfit: (from, name) => {
        this.#intake.unfit(from, name);
      },
    });
    this.#intake = new Intake({
      ...options,
      gate: this.#gate,
      staging: this.#staging,
      // What is staged is older, and gives way unless it is just being copied.
      isHeld: (key) => !this.#staging.isWaiting(key) && listener.isHeld(key),
      queued: (entry, settled) => {
        listener.queued(entry, settled);
      },
      superseded: (verdict, key) => {
        listener.superseded(verdict, key);
      },
    });
    this.#doorbell = new Doorbell({
      onRing: (verdict, rawName) => {
        this.#ring(verdict, rawName);
      },
      onArmed: (verdict) => {
        this.#doorbellWorks(verdict);
      },
      onFailure: (verdict, code) => {
        this.#doorbellFailed(verdict, code);
      },
      bugs: options.bugs,
    });
  }

  /**
   * Opens the folders and finds what an earlier owner left half-way; to be awaited before anything
   * is picked up or posted.
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
    let stays = await this.#sweep();
    const deadline = this.#clock.monotonic() + 2 * this.#options.settleMs + 1_000;
    while (!this.#isIdle && this.#clock.monotonic() < deadline && !this.#stopping) {
      this.#staging.step();
      const ms = Math.min(this.#untilDue(), PASS_STEP_MS) + GATHER_MS;
      await sleep(this.#clock, ms, this.#stop.signal);
      stays += await this.#lookAgain();
    }
    return stays + this.#waiting.size + (this.#isIdle ? 0 : 1);
  }

  /** Milliseconds since it should have come a step further; 0 while it does. */
  get overdueMs(): number {
    if (!this.#takesTurns || this.#stopping) return 0;
    const since = this.#turn === undefined ? this.#plannedFor : this.#movedAt;
    return Math.max(0, this.#clock.monotonic() - since);
  }

  get #isIdle(): boolean {
    return this.#waiting.size === 0 && this.#staging.isEmpty;
  }

  /** Stops; resolves when nothing is under way any more. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#timer?.cancel();
    this.#doorbell.close();
    await this.#turn;
    await this.#staging.stop();
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
      this.#movedAt = this.#clock.monotonic();
      // It begins once it is known to be under way: what it does at once may plan the next one.
      this.#turn = Promise.resolve()
        .then(() => this.#work())
        .catch((error: unknown) => {
          this.#faults.raise(DROP_DIRECTORY, error);
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
    const looks = this.#rung.size > 0 ? 0 : Math.min(this.#untilDue(), this.#staging.untilDue);
    return Math.max(GATHER_MS, Math.min(looks, this.#sweepDue - now, this.#checkDue - now));
  }

  /** Milliseconds until a class folder may be worked on; 0 when it may now. */
  #pause(verdict: Verdict): number {
    return this.#faults.pause(this.#drop.path(verdict));
  }

  #mayWork(verdict: Verdict): boolean {
    return this.#pause(verdict) === 0 && this.#intake.hasRoom(verdict);
  }

  /** Milliseconds until some file is due in a folder that may be worked on. */
  #untilDue(): number {
    const now = this.#clock.monotonic();
    const mayWork = { spam: this.#mayWork('spam'), ham: this.#mayWork('ham') };
    let until = Infinity;
    for (const { verdict, due } of this.#waiting.values()) {
      if (mayWork[verdict]) until = Math.min(until, due - now);
    }
    const pauses = VERDICTS.map((verdict) => this.#pause(verdict)).filter((ms) => ms > 0);
    return Math.max(0, Math.min(until, ...pauses));
  }

  async #work(): Promise<void> {
    this.#stretch = performance.now();
    const isCheck = this.#checkDue <= this.#clock.monotonic();
    if (isCheck) await this.#checkFolders();
    this.#staging.step();
    const rung = [...this.#rung.values()];
    this.#rung.clear();
    for (const { verdict, rawName } of rung) {
      if (this.#look(verdict, rawName) === 'full') this.#sweepDue = 0;
      await this.#breathe();
    }
    await this.#lookAgain();
    if (this.#sweepDue <= this.#clock.monotonic()) await this.#sweep();
    if (isCheck) this.#faults.clear(DROP_DIRECTORY);
  }

  /** Gives the event loop to others when this turn has had it for a while; true when it did. */
  async #breathe(): Promise<boolean> {
    if (performance.now() - this.#stretch < STRETCH_MS) return false;
    await nextTurn();
    this.#movedAt = this.#clock.monotonic();
    this.#stretch = performance.now();
    return true;
  }

  /**
   * Looks at one file and notes when to do so again.
   * @param failing also where it met a fault before
   */
  #look(verdict: Verdict, rawName: string, failing = false): Look['kind'] {
    const id = idOf(verdict, rawName);
    if (this.#pause(verdict) > 0) return this.#leaveToSweep();
    if (!failing && this.#failing.has(id)) return this.#leaveToSweep();
    let look: Look;
    try {
      look = this.#intake.look(verdict, rawName);
    } catch (error) {
      this.#faults.raise(this.#drop.path(verdict), error);
      this.#listener.faulted();
      this.#waiting.delete(id);
      this.#failing.delete(id);
      this.#failing.set(id, { verdict, rawName });
      const [oldest] = this.#failing.keys();
      if (oldest !== undefined && this.#failing.size > FAILING_AT_MOST)
        this.#failing.delete(oldest);
      return this.#leaveToSweep();
    }
    this.#waiting.delete(id);
    this.#failing.delete(id);
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

  #leaveToSweep(): 'wait' {
    this.#sweepDue = Math.min(this.#sweepDue, this.#clock.monotonic() + CHECK_MS);
    return 'wait';
  }

  /** Looks at what is due. Resolves to how many of them stay for good. */
  async #lookAgain(): Promise<number> {
    const now = this.#clock.monotonic();
    let stays = 0;
    for (const waiting of [...this.#waiting.values()]) {
      if (waiting.due > now || !this.#mayWork(waiting.verdict)) continue;
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
    let idle = 0;
    let whole = true;
    const lists = new Set<{ verdict: Verdict; list: Generator<FolderEntry> }>();
    try {
      for (const verdict of VERDICTS) {
        const opened = this.#drop.get(verdict);
        if (opened === undefined) continue;
        if (this.#pause(verdict) > 0) whole = false;
        else lists.add({ verdict, list: opened.folder.list() });
      }
      while (lists.size > 0 && !this.#stopping) {
        for (const each of lists) {
          const { verdict, list } = each;
          const next = this.#next(verdict, list);
          if (next === undefined) {
            whole &&= this.#pause(verdict) === 0;
            lists.delete(each);
            continue;
          }
          // What falls due meanwhile doesn't wait for the end of a long sweep.
          if (await this.#breathe()) {
            this.#staging.step();
            stays += await this.#lookAgain();
          }
          const { rawName, regular } = next;
          if (rawName.startsWith('.')) continue;
          entries += 1;
          const kind = await this.#lookInSweep(verdict, rawName, regular);
          if (kind === 'stays') idle += 1;
          if (kind === 'stays' && regular) stays += 1;
          if (kind === 'full') whole = false;
        }
        // Nothing leaves the gate: the rest has to wait for another sweep.
        if (!whole && this.#gate.isFull) break;
      }
    } finally {
      for (const { list } of lists) list.return(undefined);
    }
    if (this.#stopping) return stays;
    for (const { verdict, rawName } of [...this.#failing.values()]) {
      if (this.#look(verdict, rawName, true) === 'stays') stays += 1;
    }
    whole &&= VERDICTS.every((verdict) => this.#pause(verdict) === 0);
    if (whole) this.#endSweep();
    else if (this.#gate.isFull) this.#gate.makeRoom();
    this.#armDoorbells(entries - (this.#taken - takenBefore));
    // What was taken costs the next sweep nothing.
    const cost = ((this.#clock.monotonic() - started) * idle) / Math.max(1, entries);
    this.#planSweep(whole ? cost : 0, whole);
    return whole ? stays : stays + 1;
  }

  /** Every file was seen, and where none waits to be taken there is nothing that could still fail. */
  #endSweep(): void {
    this.#intake.endSweep();
    const waits = new Set([...this.#waiting.values()].map(({ verdict }) => verdict));
    for (const verdict of VERDICTS) {
      if (!waits.has(verdict) && this.#drop.get(verdict) !== undefined) {
        this.#faults.clear(this.#drop.path(verdict));
      }
    }
  }

  /** The next entry of a folder; `undefined` at its end, or at a fault. */
  #next(verdict: Verdict, list: Generator<FolderEntry>): FolderEntry | undefined {
    try {
      const next = list.next();
      return next.done === true ? undefined : next.value;
    } catch (error) {
      this.#faults.raise(this.#drop.path(verdict), error);
      return undefined;
    }
  }

  async #lookInSweep(verdict: Verdict, rawName: string, regular: boolean): Promise<Look['kind']> {
    if (!regular) return this.#intake.ignore(verdict, rawName).kind;
    const kind = this.#look(verdict, rawName);
    if (kind !== 'full') return kind;
    await this.#makeRoom();
    return this.#look(verdict, rawName);
  }

  /** @param cost milliseconds that the next sweep will take, as far as can be told */
  #planSweep(cost: number, whole: boolean): void {
    const { sweepMs } = this.#options;
    const rings = VERDICTS.every(
      (verdict) => this.#drop.get(verdict) === undefined || this.#doorbell.isArmed(verdict),
    );
    const interval = rings && whole ? sweepMs : CHECK_MS;
    const wait = Math.min(sweepMs, Math.max(interval, cost * SWEEP_SHARE));
    this.#sweepDue = this.#clock.monotonic() + wait;
  }

  /** Waits until something has left the gate, or until it is clear that nothing will. */
  async #makeRoom(): Promise<void> {
    const taken = this.#taken;
    const end = this.#clock.monotonic() + 2 * this.#options.settleMs;
    while (this.#gate.isFull && this.#taken === taken && !this.#stopping) {
      this.#movedAt = this.#clock.monotonic();
      if (this.#movedAt > end) return;
      this.#staging.step();
      await sleep(this.#clock, Math.min(this.#untilDue(), PASS_STEP_MS) + 1, this.#stop.signal);
      await this.#lookAgain();
    }
  }

  // --- folders and doorbells

  async #checkFolders(): Promise<void> {
    this.#checkDue = this.#clock.monotonic() + CHECK_MS;
    const opened = this.#drop.refresh();
    try {
      for (const each of opened) if (!(await this.#begin(each))) return;
    } catch (error) {
      // One that isn't locked, or not known to its end, must not be taken for one that is.
      for (const { verdict } of opened) this.#drop.drop(verdict);
      throw error;
    }
  }

  /** Locks a folder that was just opened, and finds what is staged there; false when it is lost. */
  async #begin(opened: ClassFolder): Promise<boolean> {
    this.#doorbell.disarm(opened.verdict);
    if ((await this.#options.lock(opened.folder)) === 'held') {
      this.#drop.drop(opened.verdict);
      this.#listener.lost(`${opened.folder.path} is locked by another process`);
      return false;
    }
    this.#sweepDue = 0;
    await this.#staging.find(opened);
    return true;
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

  #doorbellWorks(verdict: Verdict): void {
    if (!this.#deaf.delete(verdict)) return;
    const path = this.#drop.path(verdict);
    this.#log('notice', 'disk.ok', `${path} is watched again`, { place: watchOn(path) });
  }

  #doorbellFailed(verdict: Verdict, code: string | undefined): void {
    this.#leaveToSweep();
    this.#plan();
    if (code === undefined || this.#stopping) return;
    if (!this.#options.throttle.allows(`doorbell ${verdict}`, code)) return;
    this.#deaf.add(verdict);
    const cure =
      code === 'ENOSPC' || code === 'EMFILE'
        ? 'raise fs.inotify.max_user_watches and fs.inotify.max_user_instances'
        : 'set LEARN_POLLING=yes where the file system has no inotify';
    const path = this.#drop.path(verdict);
    this.#log(
      'warning',
      'disk.fault',
      `${path} can't be watched (${code}); it is swept every 2 s instead. ${cure}`,
      { place: watchOn(path), code },
    );
  }
}

/** Names the watch on a folder, which fails and works apart from the folder itself. */
function watchOn(path: string): string {
  return `the watch on ${path}`;
}
