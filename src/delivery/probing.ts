import { backoffMs } from './backoff.ts';
import { isSameFile } from './message.ts';
import type { MessageEntry, PendingMessage } from './message.ts';

/** Each fresh message that fails as a probe keeps the next one waiting longer. */
const FRESH_STEP_MS = 200;
const LONGEST_FRESH_WAIT_MS = 5_000;

/**
 * Probing: when a paused controller is tried next, by which messages. A fresh message, which hasn't
 * failed there since it was up, shows at once whether the controller or the messages before it are at
 * fault, and doesn't wait out the backoff that others lengthen by failing again and again. All times
 * are monotonic milliseconds.
 */
export class Probing {
  /** Probes in a row that failed. */
  failures = 0;
  /** Any message may probe then. */
  retryAt = 0;
  /** Those of the failures that began a backoff. */
  #backoffs = 0;
  #freshAt = 0;
  /** What failed since the controller was last up, by key: memory may let go of a message meanwhile. */
  readonly #failed = new Map<string, MessageEntry>();
  /** How many fresh messages failed as probes since then. */
  #freshProbes = 0;
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** A fresh message may probe then. */
  get freshAt(): number {
    return Math.min(this.#freshAt, this.retryAt);
  }

  /** True for what hasn't failed since the controller was last up. */
  isFresh({ entry }: PendingMessage): boolean {
    const failed = this.#failed.get(entry.key);
    return failed === undefined || !isSameFile(failed, entry);
  }

  /** The controller works. */
  passed(): void {
    this.failures = 0;
    this.#backoffs = 0;
    this.forgetMessages();
  }

  /**
   * A message failed, and the controller with it.
   * @param shows whether it was a probe, or the first failure
   * @returns when the next fresh message may probe
   */
  freshAfter(message: PendingMessage, now: number, shows: boolean): number {
    const wasFresh = this.isFresh(message);
    this.#failed.set(message.entry.key, message.entry);
    if (!wasFresh || !shows) return this.#freshAt;
    const waitMs = Math.min(FRESH_STEP_MS * this.#freshProbes, LONGEST_FRESH_WAIT_MS);
    this.#freshProbes += 1;
    return now + waitMs;
  }

  /**
   * The controller doesn't work. What a fresh message showed before the backoff was over leaves that as
   * it is: while there are fresh ones, those that failed there would never have their turn.
   * @param isOther it fails in another way than before: then the backoff is another one, too
   * @param firstMs the backoff after a first failure
   * @param freshAt when the next fresh one may go. @defaultValue after the backoff
   */
  failed(now: number, isOther: boolean, firstMs?: number, freshAt?: number): void {
    this.failures += 1;
    if (isOther || now >= this.retryAt) {
      this.#backoffs += 1;
      this.retryAt = now + backoffMs(this.#backoffs, this.#random(), firstMs);
    }
    this.#freshAt = freshAt ?? this.retryAt;
  }

  /** Forgets which messages failed. */
  forgetMessages(): void {
    this.#failed.clear();
    this.#freshProbes = 0;
    this.#freshAt = this.retryAt;
  }
}
