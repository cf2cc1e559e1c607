import { once } from 'node:events';

/**
 * Time as the rest of the program sees it, so that tests can own it. The monotonic clock decides
 * everything; the wall clock only names archive days.
 */

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds on a clock that never jumps. */
  monotonic(): number;
  /** Milliseconds since the epoch. */
  wall(): number;
  /** Calls `callback` once after `ms` milliseconds unless cancelled. */
  after(ms: number, callback: () => void): Timer;
}

/** Longest delay that setTimeout takes; anything above it fires after 1 ms instead. */
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  monotonic: () => performance.now(),
  wall: () => Date.now(),
  after(ms, callback) {
    const timer =
      ms <= 0 ? setImmediate(callback) : setTimeout(callback, Math.min(ms, LONGEST_TIMEOUT_MS));
    return {
      cancel() {
        timer[Symbol.dispose]();
      },
    };
  },
};

/** Waits `ms` milliseconds, or less when `signal` is aborted: it ends early, it never rejects. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted === true) return Promise.resolve();
  return new Promise((resolve) => {
    const end = (): void => {
      timer.cancel();
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = clock.after(ms, end);
    signal?.addEventListener('abort', end);
  });
}

/** Resolves when `signal` is aborted. */
export async function aborted(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await once(signal, 'abort');
}
