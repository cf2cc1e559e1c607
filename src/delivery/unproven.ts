import type { LearnCounts } from './learn-counts.ts';
import type { PendingMessage } from './message.ts';

/**
 * The messages that one controller answered 200 to every post, and has not been seen to remember. Two
 * different ones since its last proof tell of the controller; a single one may be of the few that
 * rspamd never recognises.
 */
export class UnprovenMessages {
  /** Since the last proof. */
  readonly #sinceProof = new Set<PendingMessage>();
  /** Neither proven since nor gone. */
  readonly #waiting = new Set<PendingMessage>();

  /** No message waits for a proof, or for another's. */
  get isEmpty(): boolean {
    return this.#waiting.size === 0;
  }

  /**
   * @param isRound the message was posted more than once, so that this tells something of both
   * @returns whether that makes two different ones since the last proof
   */
  add(message: PendingMessage, isRound: boolean): boolean {
    this.#waiting.add(message);
    if (!isRound) return false;
    const isSecond = [...this.#sinceProof].some((each) => each !== message);
    this.#sinceProof.add(message);
    return isSecond;
  }

  /** The message was posted as often as it may be, now or by an earlier process. */
  addSpent(message: PendingMessage): void {
    this.#waiting.add(message);
  }

  /** Another message was proven, or this one: what waits may be posted again. */
  proved(message: PendingMessage): void {
    for (const each of this.#sinceProof) {
      if (each !== message) each.proof.unprovenRounds += 1;
    }
    this.#sinceProof.clear();
    for (const each of this.#waiting) {
      if (each.disposition !== undefined) this.#waiting.delete(each);
      else if (each !== message) each.proof.othersProved = true;
    }
  }

  /** Takes out those whose last posts `/stat` shows to be counted: they are stored. */
  takeCounted(counts: LearnCounts): PendingMessage[] {
    const counted = [...this.#waiting].filter(({ proof }) => {
      const { firstRoundAt, lastRoundAt, acknowledgedAt } = proof;
      // All posts of the message, or where other learns lie between them, the last ones.
      return [firstRoundAt, lastRoundAt].some(
        (from) =>
          from !== undefined && acknowledgedAt !== undefined && counts.shows(from, acknowledgedAt),
      );
    });
    for (const each of counted) this.forget(each);
    return counted;
  }

  /** The controller remembers nothing, so that its messages can't be held against them. */
  excuseAll(): void {
    this.#sinceProof.clear();
  }

  /** The message is gone from memory. */
  forget(message: PendingMessage): void {
    this.#sinceProof.delete(message);
    this.#waiting.delete(message);
  }

  forgetAll(): void {
    this.#sinceProof.clear();
    this.#waiting.clear();
  }
}
