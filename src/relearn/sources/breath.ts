import { setImmediate } from 'node:timers/promises';

/**
 * Lets others have the event loop. What reads without ever waiting (synchronous calls between
 * promises that are resolved already) would keep timers and sockets from their turn.
 */
export class Breath {
  #spent = 0;

  /** Counts what was done: 1 for a file, more for much. True when it is time for a breath. */
  isDue(cost = 1): boolean {
    this.#spent += cost;
    return this.#spent >= LONGEST;
  }

  async take(): Promise<void> {
    this.#spent = 0;
    await setImmediate();
  }
}

/** Files, or pieces of 64 KiB, between two breaths: some milliseconds. */
const LONGEST = 64;
