/**
 * Probing: when a paused controller is tried next, by which messages. Fresh ones, which haven't failed
 * there since it was up, may go sooner than the backoff says. All times are monotonic milliseconds.
 */
export class Probing {
  /** Probes in a row that failed. */
  failures = 0;
  /** Any message may probe then. */
  retryAt = 0;
  /** A fresh one may. */
  freshAt = 0;
  /** Those of them that began a backoff. */
  #turns = 0;

  /** The controller works. */
  passed(): void {
    this.failures = 0;
    this.#turns = 0;
  }

  /**
   * It doesn't. What a fresh message showed before the backoff was over leaves that as it is: while
   * there are fresh ones, those that failed there would never have their turn.
   * @param backoff how long it is after so many failures
   * @param isOther it fails in another way than before: then the backoff is another one, too
   * @param freshAt when the next fresh one may go. @defaultValue after the backoff
   */
  failed(
    now: number,
    backoff: (turns: number) => number,
    isOther: boolean,
    freshAt?: number,
  ): void {
    this.failures += 1;
    if (isOther || now >= this.retryAt) {
      this.#turns += 1;
      this.retryAt = now + backoff(this.#turns);
    }
    this.freshAt = freshAt ?? this.retryAt;
  }
}
