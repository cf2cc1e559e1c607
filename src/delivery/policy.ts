import { createHash } from 'node:crypto';

/** How long a message or a controller waits after a failure, and which controller a message prefers. */
export const FIRST_BACKOFF_MS = 1_000;
export const LONGEST_BACKOFF_MS = 300_000;
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

/**
 * The order in which a key tries the controllers (rendezvous hashing): always the same for a key,
 * and one controller more or less moves only the keys that it had.
 */
export function preferenceOf(key: string, controllers: readonly string[]): readonly string[] {
  if (controllers.length < 2) return controllers;
  const weights = new Map(controllers.map((name) => [name, weightOf(name, key)]));
  return [...controllers].sort((a, b) => (weights.get(b) ?? 0) - (weights.get(a) ?? 0));
}

function weightOf(controller: string, key: string): number {
  return createHash('sha256').update(`${controller}\n${key}`).digest().readUInt32BE(0);
}
