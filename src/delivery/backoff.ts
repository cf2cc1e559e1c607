/** How long a message or a controller waits after a failure. */
export const FIRST_BACKOFF_MS = 1_000;
const LONGEST_BACKOFF_MS = 300_000;
/** Keeps several daemons from retrying at the same moment. */
const JITTER = 0.2;

/**
 * The backoff: `first`, doubled with each failure up to five minutes, give or take a fifth.
 * @param failures failures in a row so far, at least 1
 * @param random a number from 0 to 1
 * @returns milliseconds
 */
export function backoffMs(failures: number, random: number, first = FIRST_BACKOFF_MS): number {
  const plain = Math.min(first * 2 ** (failures - 1), LONGEST_BACKOFF_MS);
  return plain * (1 + JITTER * (2 * random - 1));
}
