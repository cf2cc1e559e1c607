/**
 * How long a lock on Bayes has been held, as far as answers show: spamd waits 8.4 to 11 s for it, and
 * then says what it says of a message that it knows.
 *
 * A lock whose process was killed is broken by SpamAssassin itself after ten minutes (LOCK_MAX_AGE of
 * its Locker/UnixNFSSafe.pm; seen: learned again after 606 s). One that is still there after eleven
 * is not going away.
 */
const HELD_TOO_LONG_MS = 660_000;
/** More than the longest wait between two tries: after that it may be another lock. */
const UNWATCHED_MS = 600_000;
const SLOW_MS = 5_000;
/** Parsing takes 0.1 s a megabyte on an idle machine. */
const SLOW_MS_PER_BYTE = 400 / 1_000_000;

/** Whether an answer that shows nothing learned took so long that it was a lock. */
export function isSlow(ms: number, bytes: number): boolean {
  return ms >= SLOW_MS + bytes * SLOW_MS_PER_BYTE;
}

export class LockWatch {
  #since: number | undefined;
  #seenAt = 0;

  /**
   * It was waited for in vain.
   * @param now on a monotonic clock, in milliseconds
   * @returns whether that has gone on for too long
   */
  held(now: number): boolean {
    if (now - this.#seenAt > UNWATCHED_MS) this.#since = undefined;
    this.#since ??= now;
    this.#seenAt = now;
    return now - this.#since >= HELD_TOO_LONG_MS;
  }

  /** Bayes was used without a wait. */
  free(): void {
    this.#since = undefined;
  }
}
