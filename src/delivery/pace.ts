import { sleep } from '../clock.ts';
import type { Clock } from '../clock.ts';
import { LogThrottle } from '../logger.ts';
import type { Log } from '../logger.ts';
import type { Outcome } from '../trainers/trainer.ts';

type Unavailable = Extract<Outcome, { kind: 'unavailable' }>;

const FIRST_MS = 50;
const LONGEST_MS = 60_000;
const SHORTEST_MS = 2;
const SHRINKS = 0.97;
/** How long a post waits for its turn; then its message gives way to another. */
export const PATIENCE_MS = 5_000;
/** After so long without a post that goes through it is an outage like any other. */
const BLOCKED_MS = 30_000;

/**
 * How fast a controller may be posted to, where a proxy in front of it limits the rate. The time
 * between two posts doubles with a refusal and shrinks with each post that goes through, until
 * nothing is left of it: then there is no pace at all.
 */
export class Pace {
  /** The controller's. */
  readonly #name: string;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #throttle: LogThrottle;
  #intervalMs = 0;
  #nextAt = 0;
  #slowedAt = -Infinity;
  #refusedSince: number | undefined;
  #refusal: Unavailable = { kind: 'unavailable', reason: 'not its turn yet', contact: 'none' };

  constructor(name: string, clock: Clock, log: Log) {
    this.#name = name;
    this.#clock = clock;
    this.#log = log;
    this.#throttle = new LogThrottle(clock);
  }

  /** True while posts have to keep a distance. */
  get isSlow(): boolean {
    return this.#intervalMs > 0;
  }

  /** The last refusal, which asks for patience, until that has been in vain for too long. */
  get refusal(): Unavailable {
    const since = this.#clock.monotonic() - (this.#refusedSince ?? Infinity);
    if (since <= BLOCKED_MS) return this.#refusal;
    // The controller itself has not answered: no message can be to blame.
    return { kind: 'unavailable', reason: this.#refusal.reason, contact: 'none' };
  }

  /**
   * Takes the next turn, and waits for it first, or until `signal` is aborted.
   * @returns false when it didn't come in time
   */
  async take(signal: AbortSignal): Promise<boolean> {
    let patienceMs = PATIENCE_MS;
    for (;;) {
      const now = this.#clock.monotonic();
      if (this.#nextAt <= now) {
        this.#nextAt = now + this.#intervalMs;
        return true;
      }
      if (patienceMs <= 0) return false;
      const waitMs = Math.min(this.#nextAt - now, patienceMs);
      patienceMs -= waitMs;
      await sleep(this.#clock, waitMs, signal);
    }
  }

  /** A post went through. */
  passed(): void {
    this.#refusedSince = undefined;
    this.#intervalMs *= SHRINKS;
    if (this.#intervalMs < SHORTEST_MS) this.#intervalMs = 0;
  }

  /** A post was refused; of those that were on their way together only the first one tells. */
  refused(refusal: Unavailable, sentAt: number): void {
    const { reason, limit } = refusal;
    const now = this.#clock.monotonic();
    this.#refusal = refusal;
    this.#refusedSince ??= now;
    if (sentAt > this.#slowedAt) {
      this.#intervalMs = Math.min(Math.max(FIRST_MS, 2 * this.#intervalMs), LONGEST_MS);
      this.#slowedAt = now;
    }
    const waitMs = Math.max(this.#intervalMs, limit?.retryAfterMs ?? 0);
    this.#nextAt = Math.max(this.#nextAt, now + waitMs);
    if (!this.#throttle.allows('state')) return;
    const cure = limit?.hint ?? '';
    const says = `${this.#name} is posted to more slowly: ${reason}; ${cure}`;
    this.#log('warning', 'controller.limited', says, { controller: this.#name, reason, cure });
  }
}
