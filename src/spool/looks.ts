import type { Clock } from '../clock.ts';
import type { DiskFaults } from './disk-faults.ts';
import type { DropDirectory } from './drop-directory.ts';
import { idOf } from './enqueue.ts';
import type { Enqueuer, Look } from './enqueue.ts';
import type { SpoolEvents } from './events.ts';
import { VERDICTS } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';

/**
 * Looks: which files of the drop directory are to be looked at, and when. A file that met a disk fault
 * is left alone until a sweep has had a look at all others.
 */
export interface LooksOptions {
  readonly drop: DropDirectory;
  readonly enqueuer: Enqueuer;
  readonly events: SpoolEvents;
  readonly faults: DiskFaults;
  readonly clock: Clock;
}

interface DroppedFile {
  readonly verdict: Verdict;
  readonly rawName: string;
}

interface WaitingFile extends DroppedFile {
  /** Monotonic time of the next look. */
  dueAt: number;
}

/** Names that the watcher hints at between two turns; more are a matter for a sweep. */
const HINTS_AT_MOST = 5_000;
/** Of more files that met a fault the oldest are looked at in their turn again. */
const FAILING_AT_MOST = 1_000;
/** A file that waits for the lock of its key is looked at anyway after this time. */
const BLOCKED_MS = 5_000;

export class Looks {
  readonly #options: LooksOptions;
  readonly #hinted = new Map<string, DroppedFile>();
  readonly #waiting = new Map<string, WaitingFile>();
  /** Those that wait for a key, by that key. */
  readonly #blocked = new Map<string, WaitingFile>();
  readonly #failing = new Map<string, DroppedFile>();
  #taken = 0;

  constructor(options: LooksOptions) {
    this.#options = options;
  }

  /** Files that were taken since the start. */
  get taken(): number {
    return this.#taken;
  }

  /** How many files wait for another look. */
  get waiting(): number {
    return this.#waiting.size;
  }

  isWaitingIn(verdict: Verdict): boolean {
    return [...this.#waiting.values()].some((each) => each.verdict === verdict);
  }

  /** The watcher hints at a name; false when there were too many. */
  hint(verdict: Verdict, rawName: string): boolean {
    if (this.#hinted.size >= HINTS_AT_MOST) return false;
    this.#hinted.set(idOf(verdict, rawName), { verdict, rawName });
    return true;
  }

  takeHints(): readonly DroppedFile[] {
    const hinted = [...this.#hinted.values()];
    this.#hinted.clear();
    return hinted;
  }

  /** Milliseconds until some file is due in a folder that may be worked on; 0 when one is now. */
  get untilDue(): number {
    if (this.#hinted.size > 0) return 0;
    const now = this.#options.clock.monotonic();
    const mayWork = { spam: this.#mayWork('spam'), ham: this.#mayWork('ham') };
    let until = Infinity;
    for (const { verdict, dueAt } of this.#waiting.values()) {
      if (mayWork[verdict]) until = Math.min(until, dueAt - now);
    }
    const pauses = VERDICTS.map((verdict) => this.#pause(verdict)).filter((ms) => ms > 0);
    return Math.max(0, Math.min(until, ...pauses));
  }

  /** The files that are due by now. */
  *takeDue(): Generator<DroppedFile, void, undefined> {
    const now = this.#options.clock.monotonic();
    for (const file of [...this.#waiting.values()]) {
      if (file.dueAt <= now && this.#mayWork(file.verdict)) yield file;
    }
    for (const [key, file] of this.#blocked) if (file.dueAt <= now) this.#blocked.delete(key);
  }

  /** The key is no longer held: the file that waited for that is due. False when none did. */
  release(key: string): boolean {
    const file = this.#blocked.get(key);
    this.#blocked.delete(key);
    if (file !== undefined) file.dueAt = 0;
    return file !== undefined;
  }

  /** Looks at one file, and notes when to do so again; `fault` where the file is left to a sweep. */
  look(verdict: Verdict, rawName: string): Look['kind'] | 'fault' {
    return this.#failing.has(idOf(verdict, rawName)) ? 'fault' : this.#look(verdict, rawName);
  }

  /** Looks once at the files that met a fault; says how many of them stay for good. */
  lookAtFailing(): number {
    const looks = [...this.#failing.values()].map((file) => this.#look(file.verdict, file.rawName));
    return looks.filter((kind) => kind === 'stays').length;
  }

  #look(verdict: Verdict, rawName: string): Look['kind'] | 'fault' {
    const { enqueuer, faults, drop, events } = this.#options;
    if (this.#pause(verdict) > 0) return 'fault';
    const id = idOf(verdict, rawName);
    try {
      const look = enqueuer.look(verdict, rawName);
      this.#waiting.delete(id);
      this.#failing.delete(id);
      this.#note(id, { verdict, rawName }, look);
      return look.kind;
    } catch (error) {
      faults.raise(drop.path(verdict), error);
      events.rescan(); // it may have come into the queue all the same
      this.#waiting.delete(id);
      this.#failing.delete(id);
      this.#failing.set(id, { verdict, rawName });
      const [oldest] = this.#failing.keys();
      if (oldest !== undefined && this.#failing.size > FAILING_AT_MOST) {
        this.#failing.delete(oldest);
      }
      return 'fault';
    }
  }

  #note(id: string, file: DroppedFile, look: Look): void {
    const { clock, faults, drop } = this.#options;
    switch (look.kind) {
      case 'wait':
      case 'blocked': {
        const ms = look.kind === 'wait' ? look.ms : BLOCKED_MS;
        const waiting = { ...file, dueAt: clock.monotonic() + ms };
        this.#waiting.set(id, waiting);
        if (look.kind === 'blocked') this.#blocked.set(look.key, waiting);
        break;
      }
      case 'taken':
        this.#taken += 1;
        faults.clear(drop.path(file.verdict));
        break;
      case 'stays':
      case 'gone':
      case 'full':
        break;
    }
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
