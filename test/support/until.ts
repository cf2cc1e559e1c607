import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';

/** Long enough for a busy machine. */
const PATIENCE_MS = 120_000;
/** Most of what a test waits for is there after a few turns of the event loop. */
const QUICK_TURNS = 20;

/**
 * Waits until `isSo`: turn by turn of the event loop, and soon millisecond by millisecond, which
 * leaves the machine to what is waited for.
 * @throws when that takes too long, naming what was waited for
 */
export async function until(what: string, isSo: () => boolean): Promise<void> {
  const pace = new Pace(what);
  while (!isSo()) await pace.wait();
}

/** The turns of one wait. */
export class Pace {
  readonly #what: string;
  readonly #deadline = performance.now() + PATIENCE_MS;
  #turns = 0;

  constructor(what: string) {
    this.#what = what;
  }

  /** What is waited for moves: the next turns are quick ones. */
  async turn(): Promise<void> {
    this.#turns = 0;
    await this.wait();
  }

  async wait(): Promise<void> {
    if (performance.now() > this.#deadline) throw new Error(`waited in vain until ${this.#what}`);
    this.#turns += 1;
    await (this.#turns > QUICK_TURNS ? sleep(1) : nextTurn());
  }
}
