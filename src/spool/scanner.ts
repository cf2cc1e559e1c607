import type { Verdict } from '../verdict.ts';
import { yieldIfDue } from '../yield-if-due.ts';
import type { SpoolContext } from './context.ts';
import type { CrossDeviceMoves } from './cross-device-move.ts';
import { FAULTED } from './disk-faults.ts';
import type { Enqueuer } from './enqueue.ts';
import { listByTurns } from './folder.ts';
import type { ListedEntry } from './folder.ts';
import { idOf } from './message.ts';
import { FolderWatcher } from './watcher.ts';

/**
 * The scanner: which files of the drop directory are looked at, and when: those that the watcher hints
 * at, those that are to be looked at again by now, and at times all, in a sweep.
 *
 * A sweep goes no further while the gate is full, and goes on where it was once there is room. A file
 * that met a disk fault is left alone until a sweep has looked at all others.
 */
interface ScannerOptions extends SpoolContext {
  readonly enqueuer: Enqueuer;
  readonly moves: CrossDeviceMoves;
  /** The scanner gave the event loop to others. */
  readonly onYield: () => void;
}

interface DroppedFile {
  readonly verdict: Verdict;
  readonly rawName: string;
}

interface WaitingFile extends DroppedFile {
  /** Monotonic time of the next look. */
  readonly dueAt: number;
}

interface Sweep {
  readonly names: Generator<ListedEntry, void>;
  readonly takenBefore: number;
  entries: number;
  /** False once a name was passed over that could not be looked at. */
  whole: boolean;
}

/** Files that wait for a look; hints at more are a matter for a sweep. */
const WAITING_AT_MOST = 10_000;
/** How often folders without a watch are swept, and those that a sweep couldn't finish. */
export const CHECK_MS = 2_000;
/** With more files than this a sweep every two seconds eats the CPU. */
const MANY_FILES = 5_000;
/** How often a sweep looks whether the gate has room. */
const FULL_MS = 100;

export class Scanner {
  readonly #options: ScannerOptions;
  readonly #watcher: FolderWatcher;
  readonly #waiting = new Map<string, WaitingFile>();
  readonly #failing = new Map<string, DroppedFile>();
  #sweep: Sweep | undefined;
  #sweepAt = 0;
  #isSweepWanted = false;
  /** The last sweep left so many files that the next one must not be soon. */
  #isCrowded = false;
  #watches = false;
  #isStopped = false;
  #taken = 0;
  #stays = 0;

  constructor(options: ScannerOptions) {
    this.#options = options;
    this.#watcher = new FolderWatcher({
      ...options,
      onChange: this.#hint.bind(this),
      onFailure: () => {
        if (!this.#isCrowded) this.#sweepSoon();
        options.onDue();
      },
    });
  }

  /** From now on the folders are watched once a sweep has passed them. */
  startWatching(): void {
    this.#watches = true;
  }

  /** A folder was opened anew: its watch is put up anew as well. */
  opened(verdict: Verdict): void {
    this.#watcher.unwatch(verdict);
    this.sweepNow();
  }

  /** Begins a sweep with the next turn, whatever was due. */
  sweepNow(): void {
    this.#passOver();
    this.#sweep?.names.return();
    this.#sweep = undefined;
    this.#isSweepWanted = true;
  }

  /** How many files wait for another look. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** How many looks came upon a message that stays until something about it changes. */
  get stays(): number {
    return this.#stays + (this.#isSweepWanted ? 1 : 0);
  }

  get isSweeping(): boolean {
    return this.#sweep !== undefined;
  }

  get isSweepDue(): boolean {
    const isDue = this.#isSweepWanted || this.#sweepAt <= this.#options.clock.monotonic();
    return isDue && !this.isSweeping;
  }

  /** Milliseconds until there is something to do. */
  get untilDue(): number {
    const now = this.#options.clock.monotonic();
    let until = this.#isSweepWanted ? 0 : this.#sweepAt - now;
    if (this.#sweep !== undefined) until = this.#options.gate.isFull ? FULL_MS : 0;
    const { verdicts } = this.#options.drop;
    const workable = new Set(verdicts.filter((verdict) => this.#mayWork(verdict)));
    for (const { verdict, dueAt } of this.#waiting.values()) {
      if (workable.has(verdict)) until = Math.min(until, dueAt - now);
    }
    const pauses = verdicts.map((verdict) => this.#pause(verdict)).filter((ms) => ms > 0);
    return Math.max(0, Math.min(until, ...pauses));
  }

  /** Looks at the files that are due. */
  async lookAtDue(): Promise<void> {
    const now = this.#options.clock.monotonic();
    for (const file of [...this.#waiting.values()]) {
      if (this.#isStopped) return;
      if (file.dueAt > now || !this.#mayWork(file.verdict)) continue;
      await this.#look(file);
      await this.#yieldIfDue();
    }
  }

  beginSweep(): void {
    const { drop, faults } = this.#options;
    this.#isSweepWanted = false;
    const folders = drop.folders.filter(({ verdict }) => this.#pause(verdict) === 0);
    this.#sweep = {
      names: listByTurns(folders, (verdict, error) => {
        faults.raise(drop.path(verdict), error);
        this.#passOver();
      }),
      takenBefore: this.#taken,
      entries: 0,
      whole: this.#worksAll,
    };
  }

  /**
   * Goes on with a sweep that has begun.
   * @returns true when it gave the event loop to others, and there is more; false when it is over or
   *   waits for the gate
   */
  async sweepOn(): Promise<boolean> {
    const sweep = this.#sweep;
    if (sweep === undefined) return false;
    while (!this.#isStopped && this.#options.gate.takesMore()) {
      const next = sweep.names.next();
      if (next.done === true) {
        await this.#endSweep(sweep);
        return false;
      }
      await this.#sweepOver(sweep, next.value);
      if (await this.#yieldIfDue()) return true;
    }
    return false;
  }

  close(): void {
    this.#isStopped = true;
    this.#sweep?.names.return();
    this.#watcher.close();
  }

  #hint(verdict: Verdict, rawName: string | undefined): void {
    if (rawName?.startsWith('.') === true) return;
    const id = rawName === undefined ? '' : idOf(verdict, rawName);
    const isKnown = this.#waiting.has(id);
    if (rawName === undefined || (!isKnown && this.#waiting.size >= WAITING_AT_MOST)) {
      this.#isSweepWanted = true;
    } else if (!this.#failing.has(id)) {
      this.#waiting.set(id, { verdict, rawName, dueAt: 0 });
    }
    this.#options.onDue();
  }

  async #look(file: DroppedFile): Promise<void> {
    const { enqueuer, faults, drop, events, clock } = this.#options;
    const { verdict, rawName } = file;
    if (this.#pause(verdict) > 0) {
      this.#passOver();
      return;
    }
    const id = idOf(verdict, rawName);
    const look = await faults.guard(drop.path(verdict), () => enqueuer.look(verdict, rawName), {
      proves: ({ kind }) => kind === 'taken',
    });
    this.#waiting.delete(id);
    this.#failing.delete(id);
    if (look === FAULTED) {
      this.#passOver();
      this.#failing.set(id, file);
      this.#sweepSoon();
      events.rescan(); // it may have come into the queue all the same
    } else if (look.kind === 'full') {
      this.#passOver();
      this.#isSweepWanted = true;
    } else if (look.kind === 'wait') {
      this.#waiting.set(id, { ...file, dueAt: clock.monotonic() + look.ms });
    } else if (look.kind === 'taken') this.#taken += 1;
    else if (look.kind === 'stays') this.#stays += 1;
  }

  #passOver(): void {
    if (this.#sweep !== undefined) this.#sweep.whole = false;
  }

  async #sweepOver(sweep: Sweep, { verdict, rawName, regular }: ListedEntry): Promise<void> {
    const { drop, moves, stuck } = this.#options;
    const from = drop.get(verdict);
    if (from === undefined) return;
    if (rawName.startsWith('.')) {
      moves.found(from, rawName, regular);
      return;
    }
    sweep.entries += 1;
    const id = idOf(verdict, rawName);
    if (!regular) stuck.note(verdict, rawName, 'irregular');
    else if (!this.#waiting.has(id) && !this.#failing.has(id)) {
      await this.#look({ verdict, rawName });
    }
  }

  async #endSweep(sweep: Sweep): Promise<void> {
    const { drop, faults, gate, stuck, clock, sweepMs } = this.#options;
    for (const file of [...this.#failing.values()]) await this.#look(file);
    const whole = sweep.whole && this.#worksAll;
    this.#sweep = undefined;
    if (whole) {
      gate.endSweep();
      stuck.endSweep();
      // Where no file is left to be taken, there is nothing that could still fail.
      const busy = new Set([...this.#waiting.values()].map(({ verdict }) => verdict));
      for (const { verdict } of drop.folders) {
        if (!busy.has(verdict)) faults.clear(drop.path(verdict));
      }
    }
    const left = sweep.entries - (this.#taken - sweep.takenBefore);
    this.#isCrowded = left > MANY_FILES;
    if (this.#watches) this.#watcher.watchFolders();
    const isRare = whole && (this.#isCrowded || this.#watcher.isWatchingAll);
    this.#sweepAt = clock.monotonic() + (isRare ? sweepMs : Math.min(CHECK_MS, sweepMs));
  }

  #sweepSoon(): void {
    this.#sweepAt = Math.min(this.#sweepAt, this.#options.clock.monotonic() + CHECK_MS);
  }

  async #yieldIfDue(): Promise<boolean> {
    const hasYielded = await yieldIfDue();
    if (hasYielded) this.#options.onYield();
    return hasYielded;
  }

  get #worksAll(): boolean {
    return this.#options.drop.verdicts.every((verdict) => this.#pause(verdict) === 0);
  }

  /** Milliseconds until a class folder may be worked on; 0 when it may now. */
  #pause(verdict: Verdict): number {
    const { faults, drop } = this.#options;
    return faults.pause(drop.path(verdict));
  }

  #mayWork(verdict: Verdict): boolean {
    return this.#pause(verdict) === 0 && this.#options.enqueuer.hasRoom(verdict);
  }
}
