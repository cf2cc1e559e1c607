import { LENGTH } from './length.ts';

/**
 * Chance that can be replayed: a run prints its seed, and the same `TEST_SEED` brings the same
 * numbers.
 */
export interface Chance {
  readonly seed: number;
  /** A number from 0 up to, not including, 1. */
  next(): number;
  /** A whole number from 0 up to, not including, `limit`. */
  below(limit: number): number;
  /** One of the choices. */
  pick<T>(choices: readonly T[]): T;
}

/**
 * Takes the seed from `TEST_SEED`, and prints it with the suite's name. Where none is given the long
 * form makes one, to search; the others take `usual`, so that what they find is a change's fault.
 */
export function chanceFor(suite: string, usual: number): Chance {
  const given = process.env['TEST_SEED'];
  const chosen = LENGTH === 'long' ? Date.now() % 2 ** 31 : usual;
  const seed = given === undefined ? chosen : Number(given);
  if (!Number.isInteger(seed)) throw new Error(`TEST_SEED is '${given ?? ''}', not a whole number`);
  process.stdout.write(`${suite}: TEST_SEED=${seed}\n`);
  return chanceOf(seed);
}

/** Mulberry32: small, and good enough for tests. */
export function chanceOf(seed: number): Chance {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (limit: number): number => Math.floor(next() * limit);
  return {
    seed,
    next,
    below,
    pick: (choices) => {
      const choice = choices[below(choices.length)];
      if (choice === undefined) throw new Error('nothing to choose from');
      return choice;
    },
  };
}
