import { setImmediate as nextTurn } from 'node:timers/promises';

/** Long enough for a busy machine. */
export const PATIENCE_MS = 120_000;

/**
 * Waits, turn by turn of the event loop, until `isSo`.
 * @throws when that takes too long, naming what was waited for
 */
export async function until(what: string, isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await nextTurn();
  }
}
