import type { Clock } from '../../clock.ts';
import type { Verdict } from '../../verdict.ts';
import type { Held } from '../trainer.ts';
import type { TaughtMessage } from './taught.ts';

/**
 * What spamd may still carry out although we have given it up, or were killed over it: a child that is
 * frozen, or was too busy to begin, does so when it wakes (seen on 4.0.1: the older verdict won 5 times
 * in 5). Until then no other verdict of the same key may be taught.
 *
 * Of what another process sent before it was killed nothing is known but when. A child that wakes after
 * `--timeout-child` (300 s) does nothing more (seen on 4.0.1).
 */
const STILL_OWED: Held = {
  kind: 'held',
  reason:
    'it still owes an answer to an earlier verdict of this message, and may carry that out later',
  hint: 'resume or kill the child of spamd that is frozen, or restart spamd',
};

export class OwedAnswers {
  readonly #clock: Clock;
  readonly #longestMs: number;
  readonly #byKey = new Map<string, Set<Owed>>();
  /** Keys of which this process has told something since they were last settled. */
  readonly #told = new Set<string>();
  /** Until when a key waits for what a killed process told of it at `since`: monotonic. */
  readonly #waits = new Map<string, { readonly since: number; readonly until: number }>();

  /** @param longestMs that spamd may take for what a process sent that was killed */
  constructor(clock: Clock, longestMs: number) {
    this.#clock = clock;
    this.#longestMs = longestMs;
  }

  /**
   * @param verdict that it may still learn; `undefined` for a message that it may still forget
   * @param late resolves when that has happened, or can't happen any more
   */
  add(key: string, verdict: Verdict | undefined, late: Promise<void>): void {
    const owed = { verdict };
    const all = this.#byKey.get(key) ?? new Set();
    this.#byKey.set(key, all.add(owed));
    void late.then(() => {
      all.delete(owed);
      if (all.size === 0 && this.#byKey.get(key) === all) this.#byKey.delete(key);
    });
  }

  /** @returns what keeps this verdict from being taught: something would undo it */
  toOtherThan(key: string, verdict: Verdict): Held | undefined {
    const all = [...(this.#byKey.get(key) ?? [])];
    return all.some((owed) => owed.verdict !== verdict) ? STILL_OWED : undefined;
  }

  /**
   * To be called before anything is told of a key.
   * @param earlier what is kept of it
   * @returns what keeps anything else from being told: a process that was killed told of that
   */
  ofAnotherProcess(key: string, earlier: TaughtMessage | undefined): Held | undefined {
    const unsettled = earlier?.unsettled;
    if (unsettled !== undefined && !this.#told.has(key)) {
      const waitMs = this.#waitMs(key, unsettled.since);
      if (waitMs > 0) return { ...STILL_OWED, waitMs };
    }
    this.#waits.delete(key);
    this.#told.add(key);
    return undefined;
  }

  /** A clock that was set back, perhaps by years, makes nobody wait for longer, however often it asks. */
  #waitMs(key: string, since: number): number {
    const longestMs = this.#longestMs;
    const now = this.#clock.monotonic();
    const before = this.#waits.get(key);
    const known = before?.since === since ? before.until : Infinity;
    const leftMs = Math.min(since + longestMs - this.#clock.wall(), longestMs);
    const until = Math.min(known, now + leftMs);
    this.#waits.set(key, { since, until });
    return until - now;
  }

  /** It has answered. @returns whether it owes nothing more of a key, and all was told by this process */
  settle(key: string): boolean {
    return !this.#byKey.has(key) && this.#told.delete(key);
  }
}

interface Owed {
  readonly verdict: Verdict | undefined;
}
