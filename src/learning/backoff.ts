/**
 * How long to wait before the next try: one second, doubling to five minutes, give or take a fifth
 * so that several daemons don't knock at the same time.
 */
export const FIRST_BACKOFF_MS = 1_000;
export const LONGEST_BACKOFF_MS = 300_000;
const JITTER = 0.2;

/**
 * @param failures failures in a row so far, at least 1
 * @param random a number from 0 to 1
 * @returns milliseconds
 */
export function backoffMs(failures: number, random: number, first = FIRST_BACKOFF_MS): number {
  const plain = Math.min(first * 2 ** (failures - 1), LONGEST_BACKOFF_MS);
  return plain * (1 + JITTER * (2 * random - 1));
}
