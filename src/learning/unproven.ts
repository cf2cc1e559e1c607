import type { Delivery } from './delivery.ts';
import type { RevisionWatch } from './revision-watch.ts';

/**
 * The messages that one controller answered 200 to every post, and has not been seen to remember.
 * Two different ones since its last proof tell of the controller; a single one may be of the few that
 * rspamd never recognises.
 */
export class UnprovenMessages {
  /** Since the last proof. */
  readonly #sinceProof = new Set<Delivery>();
  /** Neither proven since nor gone. */
  readonly #waiting = new Set<Delivery>();

  /** No message waits for a proof, or for another's. */
  get isEmpty(): boolean {
    return this.#waiting.size === 0;
  }

  /**
   * @param isRound it was posted more than once, so that this tells something of both
   * @returns whether that makes two different ones since the last proof
   */
  add(delivery: Delivery, isRound: boolean): boolean {
    this.#waiting.add(delivery);
    if (!isRound) return false;
    const isSecond = [...this.#sinceProof].some((each) => each !== delivery);
    this.#sinceProof.add(delivery);
    return isSecond;
  }

  /** It was posted as often as it may be, now or by an earlier process. */
  addSpent(delivery: Delivery): void {
    this.#waiting.add(delivery);
  }

  /** Another message was proven, or this one: what waits may be posted again. */
  proved(delivery: Delivery): void {
    for (const each of this.#sinceProof) if (each !== delivery) each.unprovenRounds += 1;
    this.#sinceProof.clear();
    for (const each of this.#waiting) {
      if (each.finish !== undefined) this.#waiting.delete(each);
      else if (each !== delivery) each.othersProved = true;
    }
  }

  /** Takes out those whose last posts `/stat` shows to be counted: they are stored. */
  takeCounted(revisions: RevisionWatch): Delivery[] {
    const counted = [...this.#waiting].filter(
      ({ firstRoundAt, lastRoundAt, acknowledgedAt }) =>
        acknowledgedAt !== undefined &&
        // All of its posts, or where other learns lie between them, the last ones.
        [firstRoundAt, lastRoundAt].some(
          (from) => from !== undefined && revisions.shows(from, acknowledgedAt),
        ),
    );
    for (const each of counted) this.forget(each);
    return counted;
  }

  /** The controller remembers nothing: of a message that tells nothing. */
  excuseAll(): void {
    this.#sinceProof.clear();
  }

  /** The message is gone from memory. */
  forget(delivery: Delivery): void {
    this.#sinceProof.delete(delivery);
    this.#waiting.delete(delivery);
  }

  forgetAll(): void {
    this.#sinceProof.clear();
    this.#waiting.clear();
  }
}
