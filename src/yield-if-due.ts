import { setImmediate } from 'node:timers/promises';

/** The longest time that work may keep timers and sockets from the event loop. */
const LONGEST_TURN_MS = 10;

let yieldedAt = 0;

/**
 * Lets timers and sockets have their turn when the last turn is some milliseconds ago. What works with
 * synchronous calls between promises that are already resolved would never give them one.
 * @returns whether it did
 */
export async function yieldIfDue(): Promise<boolean> {
  if (performance.now() - yieldedAt < LONGEST_TURN_MS) return false;
  await setImmediate();
  yieldedAt = performance.now();
  return true;
}
