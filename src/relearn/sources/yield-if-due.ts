import { setImmediate } from 'node:timers/promises';

/** The longest time that reading may keep timers and sockets from the event loop. */
const LONGEST_TURN_MS = 5;

let yieldedAt = 0;

/**
 * Lets timers and sockets have their turn when the last turn is a few milliseconds ago. What reads
 * with synchronous calls between promises that are already resolved would never give them one.
 */
export async function yieldIfDue(): Promise<void> {
  if (performance.now() - yieldedAt < LONGEST_TURN_MS) return;
  await setImmediate();
  yieldedAt = performance.now();
}
