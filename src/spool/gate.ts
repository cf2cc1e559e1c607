import type { BigIntStats } from 'node:fs';
import { bearsFinishingMark, sameStamp, settleTime } from './message.ts';
import type { Stamp } from './message.ts';

/**
 * The gate: decides when a file in the drop directory is complete. It looks at stats only and
 * touches nothing.
 *
 * A file passes when it is regular, not empty, readable and unchanged in device, inode, size,
 * mtime, ctime and mode for the settle time on the monotonic clock. A tenth of that is enough once
 * it bears kopano-spamd's finishing mark (mode 0660), unless it was seen changing while it bore it:
 * a rewrite in place keeps the mode of the complete file before it.
 *
 * A file that is empty or unreadable is *stalled*: it doesn't count against the gate's room, and is
 * *stuck* after ten minutes.
 */

export const STUCK_AFTER_MS = 600_000;

/** What the gate says of a file that it was shown. */
export type GateAnswer =
  | Later
  | { readonly kind: 'passed' }
  | { readonly kind: 'stalled'; readonly reason: 'empty' | 'unreadable'; readonly stuck: boolean };

export type Later =
  /** Look again in `ms` milliseconds. */
  | { readonly kind: 'wait'; readonly ms: number }
  /** There is no room to remember it: show it again later. */
  | { readonly kind: 'full' };

interface GateOptions {
  readonly settleMs: number;
  /** Most files that are remembered at a time, and as many stalled ones. */
  readonly room: number;
  /** The monotonic clock, in milliseconds. */
  readonly now: () => number;
}

/** All that decides whether a file has changed. */
type Change = Stamp & Pick<BigIntStats, 'ctimeNs' | 'mode'>;

/** What the gate remembers of a file. */
interface Seen extends Change {
  /** When it was first seen so, or, of a stalled one, first seen stalled. */
  readonly since: number;
  readonly marked: boolean;
  /** False once it was seen changing while marked: the mark proves nothing any more. */
  readonly trusted: boolean;
}

export class Gate {
  readonly #options: GateOptions;
  readonly #settling = new Map<string, Seen>();
  readonly #stalled: SweepMap<Seen>;
  /** When it last took a file in: a full one has had no room since. */
  #filledAt = 0;

  constructor(options: GateOptions) {
    this.#options = options;
    this.#stalled = new SweepMap(options.room);
  }

  /**
   * Shows the gate a file.
   * @param id names the file among all that the gate is shown
   * @param stats of a regular file
   * @param readable asks whether the file can be read; called only when that decides
   * @param beyondRoom remembers the file even when there is no room: for the twin of one that waits
   *   for it
   */
  look(id: string, stats: BigIntStats, readable: () => boolean, beyondRoom = false): GateAnswer {
    const settling = this.#settling.get(id);
    const stalled = this.#stalled.get(id);
    const seen = this.#seen(stats, settling ?? stalled);
    if (stats.size === 0n) return this.#stall(id, seen, 'empty', beyondRoom);
    if (stalled !== undefined) {
      if (!readable()) return this.#stall(id, seen, 'unreadable', beyondRoom);
      this.#stalled.delete(id);
    }
    if (settling === undefined || !isUnchanged(settling, seen)) {
      if (settling === undefined && this.isFull && !beyondRoom) return { kind: 'full' };
      if (settling === undefined) this.#filledAt = seen.since;
      this.#settling.set(id, seen);
      return { kind: 'wait', ms: this.#time(seen) };
    }
    const left = settling.since + this.#time(settling) - this.#options.now();
    if (left > 0) return { kind: 'wait', ms: left };
    if (!readable()) return this.#stall(id, seen, 'unreadable', beyondRoom);
    return { kind: 'passed' };
  }

  /** Forgets a file that is gone or taken. */
  forget(id: string): void {
    this.#settling.delete(id);
    this.#stalled.delete(id);
  }

  /** True when the file has been empty or unreadable for ten minutes. */
  isStuck(id: string): boolean {
    const since = this.#stalled.get(id)?.since ?? Infinity;
    return this.#options.now() - since >= STUCK_AFTER_MS;
  }

  get isFull(): boolean {
    return this.#settling.size >= this.#options.room;
  }

  /**
   * Whether there is room for more. A gate that has been full for long makes it: it forgets the half that
   * has been settling the longest, which may come again.
   */
  takesMore(): boolean {
    const { settleMs, now } = this.#options;
    if (!this.isFull) return true;
    if (now() - this.#filledAt < 2 * settleMs) return false;
    const half = Math.ceil(this.#settling.size / 2);
    for (const id of [...this.#settling.keys()].slice(0, half)) this.#settling.delete(id);
    return true;
  }

  /** A sweep has shown the gate every file: what it wasn't shown is gone. */
  endSweep(): void {
    this.#stalled.endSweep();
  }

  #time(seen: Seen): number {
    return settleTime(seen.marked && seen.trusted, this.#options.settleMs);
  }

  #seen(stats: BigIntStats, before: Seen | undefined): Seen {
    const { dev, ino, size, mtimeNs, ctimeNs, mode } = stats;
    const same = before?.dev === dev && before.ino === ino ? before : undefined;
    // Field by field: put together by spreading, one takes four times the memory, and there may be many.
    return {
      dev,
      ino,
      size,
      mtimeNs,
      ctimeNs,
      mode,
      since: this.#options.now(),
      marked: bearsFinishingMark(mode),
      trusted: same === undefined || (same.trusted && (isUnchanged(same, stats) || !same.marked)),
    };
  }

  #stall(id: string, seen: Seen, reason: 'empty' | 'unreadable', beyondRoom: boolean): GateAnswer {
    this.#settling.delete(id);
    const since = this.#stalled.get(id)?.since ?? seen.since;
    this.#stalled.set(id, { ...seen, since }, beyondRoom);
    return { kind: 'stalled', reason, stuck: this.isStuck(id) };
  }
}

function isUnchanged(a: Change, b: Change): boolean {
  return sameStamp(a, b) && a.ctimeNs === b.ctimeNs && a.mode === b.mode;
}

/**
 * A map of what sweeps find: what a whole sweep didn't set again is gone from the folder, and is
 * forgotten. It holds a limited number of entries; what has no room isn't remembered.
 */
export class SweepMap<V> {
  readonly #limit: number;
  readonly #entries = new Map<string, { value: V; found: boolean }>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get(id: string): V | undefined {
    return this.#entries.get(id)?.value;
  }

  /** Remembers `value`; false when there is no room and `beyondLimit` isn't set. */
  set(id: string, value: V, beyondLimit = false): boolean {
    const isFull = !this.#entries.has(id) && this.#entries.size >= this.#limit;
    if (isFull && !beyondLimit) return false;
    this.#entries.set(id, { value, found: true });
    return true;
  }

  delete(id: string): void {
    this.#entries.delete(id);
  }

  /** To be called after a sweep that saw every file. */
  endSweep(): void {
    for (const [id, entry] of this.#entries) {
      if (entry.found) entry.found = false;
      else this.#entries.delete(id);
    }
  }
}
