import { setImmediate as nextTurn } from 'node:timers/promises';

/** Work at a stretch before others get the event loop, in milliseconds. */
const STRETCH_MS = 10;

/** A stretch of work on the event loop, which is to leave room for other work. */
export class Stretch {
  #since = performance.now();

  /** Gives the event loop to others when this work has had it for a while; true when it did. */
  async yieldIfDue(): Promise<boolean> {
    if (performance.now() - this.#since < STRETCH_MS) return false;
    await nextTurn();
    this.#since = performance.now();
    return true;
  }
}
