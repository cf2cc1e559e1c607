import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';

/** Long enough for a busy machine. */
const PATIENCE_MS = 120_000;
/** Most of what a test waits for is there after a few turns of the event loop. */
const QUICK_TURNS = 20;
const LONGEST_PAUSE_MS = 25;

/**
 * Waits until `isSo`: turn by turn of the event loop at first, then with pauses that grow, which leaves
 * the machine to what is waited for.
 * @throws when that takes too long, naming what was waited for
 */
export async function until(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  patienceMs = PATIENCE_MS,
): Promise<void> {
  const pace = new Pace(what, patienceMs);
  while (!(await isSo())) await pace.wait();
}

/** The turns of one wait. */
export class Pace {
  readonly #what: string;
  readonly #deadline: number;
  #turns = 0;

  constructor(what: string, patienceMs = PATIENCE_MS) {
    this.#what = what;
    this.#deadline = performance.now() + patienceMs;
  }

  /** What is waited for moves: the next turns are quick ones. */
  async turn(): Promise<void> {
    this.#turns = 0;
    await this.wait();
  }

  async wait(): Promise<void> {
    if (performance.now() > this.#deadline) throw new Error(`waited in vain until ${this.#what}`);
    this.#turns += 1;
    const pause = Math.min(LONGEST_PAUSE_MS, this.#turns / QUICK_TURNS);
    await (pause > 1 ? sleep(pause) : nextTurn());
  }
}
