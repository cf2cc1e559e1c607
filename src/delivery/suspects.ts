import { sameStamp } from '../spool/message.ts';
import type { Stamp } from '../spool/message.ts';
import type { PendingMessage } from './message.ts';

/**
 * Suspects: the messages that failed at one controller, and what the proofs of others have shown of
 * them since. A message is charged with an answered error when others were proven before and after
 * it; what fails while the controller proves nobody else is the controller's.
 */

/** Messages that failed one after the other before the pace of fresh probes slows down. */
const FRESH_AT_ONCE = 10;
const FRESH_WAIT_MS = 500;
const LONGEST_FRESH_WAIT_MS = 5_000;

export class Suspects {
  /** Messages that were proven there. */
  #proofs = 0;
  /** How many were when a message last got an error for an answer. */
  #proofsAtFailure = new WeakMap<PendingMessage, number>();
  /** What failed since the controller was last up, by key: memory may let go of a message meanwhile. */
  readonly #failed = new Map<string, Stamp>();
  /** How many of them were probes. */
  #failedProbes = 0;
  /** The message that failed alone, where all failures since the controller was up were of that one. */
  #only: PendingMessage | undefined;
  /** Got an unknown error while alone in flight: the next proof charges it. */
  #accused: PendingMessage | undefined;
  /** Got an error once more although others were proven in between: the next proof charges them. */
  readonly #repeaters = new Set<PendingMessage>();

  /** True for what failed since the controller was last up: another try of it shows nothing new. */
  has(message: PendingMessage): boolean {
    const failed = this.#failed.get(message.entry.key);
    return failed !== undefined && sameStamp(failed, message.entry.stamp);
  }

  /** The message failed, and the controller with it. */
  add(message: PendingMessage): void {
    this.#failed.set(message.entry.key, message.entry.stamp);
  }

  /**
   * The controller pauses.
   * @param alone the message that failed with no other beside it
   * @param isFirst the controller was up until now
   */
  paused(alone: PendingMessage | undefined, isFirst: boolean): void {
    this.#only = isFirst || alone === this.#only ? alone : undefined;
    this.#accused = undefined;
    // The errors of the repeaters may have been the beginning of this outage.
    this.#repeaters.clear();
  }

  /**
   * How long a message that has not failed waits for its turn as a probe, in milliseconds: it shows at
   * once whether the controller or the messages before it are at fault.
   */
  freshWaitMs(): number {
    this.#failedProbes += 1;
    if (this.#failedProbes === 1) return 0;
    const doublings = Math.max(0, this.#failedProbes - FRESH_AT_ONCE);
    return Math.min(FRESH_WAIT_MS * 2 ** doublings, LONGEST_FRESH_WAIT_MS);
  }

  accuse(message: PendingMessage): void {
    this.#accused = message;
  }

  /**
   * A message got an error for an answer.
   * @param wasAlone no other message was in flight there
   * @param isOpen the controller takes messages in the ordinary way
   * @returns true when the error is the message's own: it got one before, and others were proven since
   */
  repeats(message: PendingMessage, wasAlone: boolean, isOpen: boolean): boolean {
    const before = this.#proofsAtFailure.get(message);
    this.#proofsAtFailure.set(message, this.#proofs);
    const hasProofsBetween = before !== undefined && this.#proofs > before;
    if (!isOpen || (!hasProofsBetween && message.failures.repeats === 0)) return false;
    message.failures.repeats += 1;
    if (hasProofsBetween && wasAlone) this.#repeaters.add(message);
    return true;
  }

  /**
   * A message was proven.
   * @returns the messages that are charged with their failures by that
   */
  proved(message: PendingMessage, isOpen: boolean): PendingMessage[] {
    this.#proofs += 1;
    this.#repeaters.delete(message);
    const charged = [...this.#repeaters];
    const accused = this.#accused;
    if (accused !== undefined && accused !== message && (isOpen || !this.excuses(accused))) {
      charged.push(accused);
    }
    this.#accused = undefined;
    this.#repeaters.clear();
    return charged;
  }

  /**
   * Whether this message's failure is put down to an outage that ended right after it: others have
   * failed as well since the controller was up. A message is excused once, because two that are at
   * fault would excuse each other for ever.
   */
  excuses(message: PendingMessage): boolean {
    if (this.#only === message || message.failures.excused) return false;
    message.failures.excused = true;
    return true;
  }

  /** The controller is up. */
  opened(): void {
    this.#only = undefined;
    this.#failed.clear();
    this.#failedProbes = 0;
  }

  forget(message: PendingMessage): void {
    if (this.#accused === message) this.#accused = undefined;
    if (this.#only === message) this.#only = undefined;
    this.#repeaters.delete(message);
    this.#proofsAtFailure.delete(message);
  }

  forgetAll(): void {
    this.opened();
    this.#accused = undefined;
    this.#repeaters.clear();
    this.#proofsAtFailure = new WeakMap();
  }
}
