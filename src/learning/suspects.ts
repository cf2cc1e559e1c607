import { sameStamp } from '../spool/message.ts';
import type { Stamp } from '../spool/message.ts';
import type { Delivery } from './delivery.ts';

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
  #proofsAtFailure = new WeakMap<Delivery, number>();
  /** What failed since the controller was last up, by key: memory may let go of a message meanwhile. */
  readonly #failed = new Map<string, Stamp>();
  /** How many of them were probes. */
  #failedProbes = 0;
  /** The one message that all failures since it was up were of, if they were. */
  #only: Delivery | undefined;
  /** Got an unknown error while alone in flight, and paused the controller: the next proof charges it. */
  #accused: Delivery | undefined;
  /** Got an error once more although others were proven in between: the next proof charges them. */
  readonly #repeaters = new Set<Delivery>();

  /** True for what failed since the controller was last up: its next tries tell nothing new. */
  has(delivery: Delivery): boolean {
    const failed = this.#failed.get(delivery.entry.key);
    return failed !== undefined && sameStamp(failed, delivery.entry.stamp);
  }

  /** The message failed, and the controller with it. */
  add(delivery: Delivery): void {
    this.#failed.set(delivery.entry.key, delivery.entry.stamp);
  }

  /**
   * The controller pauses.
   * @param alone the message that failed with no other beside it
   * @param isFirst it was up until now
   */
  paused(alone: Delivery | undefined, isFirst: boolean): void {
    this.#only = isFirst || alone === this.#only ? alone : undefined;
    this.#accused = undefined;
    // What they failed with may have been the beginning of this.
    this.#repeaters.clear();
  }

  /**
   * How long a message that has not failed has to wait for its turn as a probe, in milliseconds: it
   * shows at once whether the controller or those before it are at fault.
   */
  freshWaitMs(): number {
    this.#failedProbes += 1;
    if (this.#failedProbes === 1) return 0;
    const doublings = Math.max(0, this.#failedProbes - FRESH_AT_ONCE);
    return Math.min(FRESH_WAIT_MS * 2 ** doublings, LONGEST_FRESH_WAIT_MS);
  }

  accuse(delivery: Delivery): void {
    this.#accused = delivery;
  }

  /**
   * A message got an error for an answer.
   * @param wasAlone no other message was in flight there
   * @param isOpen the controller takes messages in the ordinary way
   * @returns true when that is the message's own: it got one before, and others were proven since
   */
  repeats(delivery: Delivery, wasAlone: boolean, isOpen: boolean): boolean {
    const before = this.#proofsAtFailure.get(delivery);
    this.#proofsAtFailure.set(delivery, this.#proofs);
    const hasProofsBetween = before !== undefined && this.#proofs > before;
    if (!isOpen || (!hasProofsBetween && delivery.repeats === 0)) return false;
    delivery.repeats += 1;
    if (hasProofsBetween && wasAlone) this.#repeaters.add(delivery);
    return true;
  }

  /**
   * A message was proven.
   * @returns the messages that are charged with their failures by that
   */
  proved(delivery: Delivery, excuses: (accused: Delivery) => boolean): Delivery[] {
    this.#proofs += 1;
    this.#repeaters.delete(delivery);
    const charged = [...this.#repeaters];
    const accused = this.#accused;
    if (accused !== undefined && accused !== delivery && !excuses(accused)) charged.push(accused);
    this.#accused = undefined;
    this.#repeaters.clear();
    return charged;
  }

  /**
   * Whether this message's failure is put down to an outage that ended right after it: others have
   * failed as well since the controller was up. Once a message only, because two that are at fault
   * would excuse each other for ever.
   */
  excuses(delivery: Delivery): boolean {
    if (this.#only === delivery || delivery.excused) return false;
    delivery.excused = true;
    return true;
  }

  /** The controller is up. */
  opened(): void {
    this.#only = undefined;
    this.#failed.clear();
    this.#failedProbes = 0;
  }

  forget(delivery: Delivery): void {
    if (this.#accused === delivery) this.#accused = undefined;
    if (this.#only === delivery) this.#only = undefined;
    this.#repeaters.delete(delivery);
    this.#proofsAtFailure.delete(delivery);
  }

  forgetAll(): void {
    this.opened();
    this.#accused = undefined;
    this.#repeaters.clear();
    this.#proofsAtFailure = new WeakMap();
  }
}
