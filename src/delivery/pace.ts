import type { Clock } from '../clock.ts';
import { LogThrottle } from '../logger.ts';
import type { Log } from '../logger.ts';
import type { Outcome } from '../trainers/trainer.ts';

/**
 * How fast a controller may be posted to, where a proxy in front of it limits the rate. The time
 * between two posts doubles with a refusal and shrinks with each post that goes through, until
 * nothing is left of it: then there is no pace at all.
 */
export interface PaceOptions {
  /** The controller's. */
  readonly name: string;
  readonly clock: Clock;
  readonly log: Log;
}

export type Limited = Extract<Outcome, { kind: 'unavailable' }>;

const FIRST_MS = 50;
const LONGEST_MS = 60_000;
const SHORTEST_MS = 2;
const SHRINKS = 0.97;
/** After so long without a post that goes through it is an outage like any other. */
const BLOCKED_MS = 30_000;

export class Pace {
  readonly #options: PaceOptions;
  readonly #throttle: LogThrottle;
  #intervalMs = 0;
  #nextAt = 0;
  #refusedAt = -Infinity;
  #refusedSince: number | undefined;
  #refusal: Limited = { kind: 'unavailable', reason: 'not its turn yet', contact: 'answered' };

  constructor(options: PaceOptions) {
    this.#options = options;
    this.#throttle = new LogThrottle(options.clock);
  }

  /** The time by which posts are sent: monotonic. */
  get now(): number {
    return this.#options.clock.monotonic();
  }

  /** True while posts have to keep a distance. */
  get isSlow(): boolean {
    return this.#intervalMs > 0;
  }

  /** The last refusal, which asks for patience, until that has been in vain for too long. */
  get refusal(): Limited {
    const since = this.now - (this.#refusedSince ?? Infinity);
    const { limit, ...plain } = this.#refusal;
    // The controller itself has not answered: no message can be to blame.
    return limit === undefined || since > BLOCKED_MS
      ? { ...plain, contact: 'none' }
      : this.#refusal;
  }

  /**
   * Asks for the next turn.
   * @returns 0 when it is taken, else after how many milliseconds to ask again
   */
  take(): number {
    const { now } = this;
    if (this.#nextAt > now) return this.#nextAt - now;
    this.#nextAt = now + this.#intervalMs;
    return 0;
  }

  /** A post went through. */
  passed(): void {
    this.#refusedSince = undefined;
    this.#intervalMs *= SHRINKS;
    if (this.#intervalMs < SHORTEST_MS) this.#intervalMs = 0;
  }

  /** A post was refused; of those that were on their way together only the first one tells. */
  refused(refusal: Limited, sentAt: number): void {
    const { name, log } = this.#options;
    const { retryAfterMs = 0, hint = '' } = refusal.limit ?? {};
    const { now } = this;
    this.#refusal = refusal;
    this.#refusedSince ??= now;
    if (sentAt >= this.#refusedAt) {
      this.#intervalMs = Math.min(Math.max(FIRST_MS, 2 * this.#intervalMs), LONGEST_MS);
      this.#refusedAt = now;
    }
    this.#nextAt = Math.max(this.#nextAt, now + Math.max(this.#intervalMs, retryAfterMs));
    if (!this.#throttle.allows('state')) return;
    log(
      'warning',
      'controller.limited',
      `${name} is posted to more slowly: ${refusal.reason}; ${hint}`,
      {
        controller: name,
        reason: refusal.reason,
        cure: hint,
      },
    );
  }
}
