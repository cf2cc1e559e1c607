import { createContext, Script } from 'node:vm';

/**
 * Ends synchronous code that never returns, for a decoder that loops on broken input. `vm` is the one
 * way to do that within the process: the code is called from a script of one call, which has a
 * timeout. It is no sandbox.
 *
 * Making one takes a millisecond, a call 70 µs.
 */
export class Watchdog {
  readonly #longestMs: number;
  readonly #box: { act?: () => void } = {};
  readonly #context = createContext(this.#box);

  /** @param longestMs how long one call may take; a block takes 2 ms, with the largest window 30 */
  constructor(longestMs = 5_000) {
    this.#longestMs = longestMs;
  }

  /** @throws what `act` throws */
  run(act: () => void): 'done' | 'stuck' {
    this.#box.act = act;
    try {
      CALL.runInContext(this.#context, { timeout: this.#longestMs });
      return 'done';
    } catch (error) {
      if (isTimeout(error)) return 'stuck';
      throw error;
    } finally {
      delete this.#box.act;
    }
  }
}

const CALL = new Script('act()');

/** The error comes from the script's own realm: it is no `Error` of ours. */
function isTimeout(error: unknown): boolean {
  return (
    typeof error === 'object' &&
    error !== null &&
    'code' in error &&
    error.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT'
  );
}
