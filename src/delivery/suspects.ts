import type { LearnCounts } from './learn-counts.ts';
import type { PendingMessage } from './message.ts';
import { MOST_POSTS } from './proof.ts';

/**
 * Suspects: the messages that failed at one controller, or were answered 200 and never proven there,
 * and what the proofs of others have shown of them since.
 *
 * A failure is charged to a message only when others were proven between its last failure and this
 * one, and another one after it. What fails while the controller proves nobody else is the
 * controller's.
 */

export class Suspects {
  /** The controller's name. */
  readonly #at: string;
  /** Messages that were proven there. */
  #proofs = 0;
  /** How many were when a message last failed. */
  #proofsAtFailure = new WeakMap<PendingMessage, number>();
  /** Failed alone, and once more although others were proven in between: the next proof charges them. */
  readonly #repeaters = new Set<PendingMessage>();
  /** Answered 200 to each post since the last proof. */
  readonly #unproven = new Set<PendingMessage>();
  /** Answered 200 to each post, and neither proven since nor gone. */
  readonly #waiting = new Set<PendingMessage>();

  constructor(at: string) {
    this.#at = at;
  }

  /**
   * A message failed in a way that may be its own doing.
   * @param wasAlone no other message was in flight there
   * @param isOpen the controller takes messages in the ordinary way
   * @returns true when it is: it failed before, and others were proven since
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

  /** The controller pauses: the failures of the repeaters may have been the beginning of that. */
  paused(): void {
    this.#repeaters.clear();
  }

  /**
   * A message was proven.
   * @returns the messages that are charged with their failures by that
   */
  proved(message: PendingMessage): PendingMessage[] {
    this.#proofs += 1;
    for (const each of this.#unproven) if (each !== message) each.proof.unprovenRounds += 1;
    this.#unproven.clear();
    for (const each of this.#waiting) {
      if (each.disposition !== undefined) this.#waiting.delete(each);
      else if (each !== message && this.#tellsOf(each)) each.proof.othersProved = true;
    }
    this.#repeaters.delete(message);
    const charged = [...this.#repeaters];
    this.#repeaters.clear();
    return charged;
  }

  /** A message that may not be posted any more is let go by a proof where it was posted last. */
  #tellsOf({ proof: { posts = 0, acknowledged } }: PendingMessage): boolean {
    return posts < MOST_POSTS || acknowledged === undefined || acknowledged.controller === this.#at;
  }

  // --- without proof

  /** Some message waits for a proof, or for another's. */
  get lackProof(): boolean {
    return this.#waiting.size > 0;
  }

  /**
   * A message was answered 200 to each post.
   * @param isRound it was posted more than once now, so that this tells something of the controller
   * @returns whether that makes two different ones since the last proof; a single one may be of the
   *   few that rspamd never recognises
   */
  addUnproven(message: PendingMessage, isRound: boolean): boolean {
    this.#waiting.add(message);
    if (!isRound) return false;
    this.#unproven.add(message);
    return this.#unproven.size > 1;
  }

  /** The controller remembers nothing: that it lacks proof can't be held against a message. */
  excuseUnproven(): void {
    this.#unproven.clear();
  }

  /** Takes out those whose posts `/stat` shows to be counted: they are stored. */
  takeCounted(counts: LearnCounts): PendingMessage[] {
    const counted = [...this.#waiting].filter(({ proof: { firstPostAt, acknowledged } }) => {
      if (firstPostAt === undefined || acknowledged === undefined) return false;
      return counts.shows(firstPostAt, acknowledged.at);
    });
    for (const each of counted) this.forget(each);
    return counted;
  }

  // --- forgetting

  /** The message is gone from memory. */
  forget(message: PendingMessage): void {
    this.#proofsAtFailure.delete(message);
    for (const each of [this.#repeaters, this.#unproven, this.#waiting]) each.delete(message);
  }

  forgetAll(): void {
    this.#proofsAtFailure = new WeakMap();
    for (const each of [this.#repeaters, this.#unproven, this.#waiting]) each.clear();
  }
}
