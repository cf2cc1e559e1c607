import fc from 'fast-check';
import { VERDICTS } from '../../../src/verdict.ts';
import type { Kind } from './files.ts';
import { MODES } from './rspamd.ts';

/** What can happen, as plain values: fast-check makes them up, shrinks them and prints them. */

export const KEYS = ['a', 'b', 'c', 'd'] as const;

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

type Weighted<T> = readonly [weight: number, ...values: T[]];

/** One of some values, of one group more often than of another. */
function weighted<T>(...groups: readonly Weighted<T>[]): fc.Arbitrary<T> {
  return fc.oneof(
    ...groups.map(([weight, ...values]) => ({ weight, arbitrary: fc.constantFrom(...values) })),
  );
}

/** A command with what it is about. */
function command<N extends string, T>(
  name: N,
  fields: { [K in keyof T]: fc.Arbitrary<T[K]> },
): fc.Arbitrary<{ do: N } & T> {
  return fc.record(fields).map((values) => ({ do: name, ...(values as T) }));
}

const slot = fc.constantFrom(0, 0, 0, 1);

const write = command('write', {
  key: fc.nat({ max: KEYS.length - 1 }),
  verdict: fc.constantFrom(...VERDICTS),
  /** Pieces of the body. */
  pieces: fc.integer({ min: 1, max: 3 }),
  /** Waits before each step, in milliseconds. */
  pauses: fc.array(
    weighted(
      [6, 0],
      [4, 1, 5, 20, 100, 190, 199, 201, 210],
      [2, 500, 1_500, 1_999, 2_001, 2_020, 2_500],
      [1, 10_000, 40_000],
    ),
    { maxLength: 8 },
  ),
  /** The writer goes away before this step. */
  steps: weighted([70, 99], [7, 1, 2, 3, 4, 5, 6, 7]),
  /** Added to the file's mtime, in milliseconds. */
  skew: weighted([8, 0], [1, -1_000, -DAY, DAY, 1_000]),
});

const tick = command('tick', {
  ms: weighted(
    [6, 5, 20, 60, 100, 180, 200, 220, 300, 500],
    [6, 1_000, 1_500, 2_000, 2_030, 2_500, 4_000],
    [3, 8_000, 15_000, 31_000],
    [1, 65_000, 130_000],
  ),
});

/** At once, or at a step that is yet to come. */
const kill = command('kill', {
  slot,
  steps: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 40 }), fc.nat({ max: 400 })),
});

const controller = command('controller', {
  which: fc.nat({ max: 2 }),
  mode: fc.oneof(fc.constant('up' as const), fc.constantFrom(...MODES)),
});

const wall = command('wall', {
  ms: fc.constantFrom(-HOUR, HOUR, -DAY, DAY, -40 * DAY, 40 * DAY),
});

const freeze = command('freeze', { slot, ms: fc.constantFrom(100, 1_000, 5_000, 60_000) });

const disk = command('disk', {
  code: fc.constantFrom('ENOSPC', 'EIO', 'ESTALE'),
  where: fc.constantFrom(
    ...['lib/spam', 'lib/ham', 'state/queue', 'state/tmp', 'state/archive', 'state/quarantine'],
    ...['state/posts', 'state/release', 'state/done-', 'state/history', 'state/owner', 'state/'],
  ),
  every: fc.constantFrom(1, 1, 2, 5),
  isAfter: fc.boolean(),
  ms: fc.constantFrom(50, 500, 3_000, 12_000, 70_000),
});

/** A folder is made anew, and what was in it lies in the new one. */
const replace = command('replace', { what: fc.constantFrom('lib/spam', 'lib/ham', 'state') });

export const commands = fc.oneof(
  { weight: 30, arbitrary: write },
  { weight: 30, arbitrary: tick },
  { weight: 8, arbitrary: kill },
  { weight: 12, arbitrary: controller },
  { weight: 8, arbitrary: disk },
  { weight: 2, arbitrary: replace },
  { weight: 2, arbitrary: command('stop', { slot }) },
  { weight: 2, arbitrary: command('second', {}) },
  { weight: 2, arbitrary: wall },
  { weight: 2, arbitrary: freeze },
  { weight: 2, arbitrary: command('release', {}) },
  { weight: 2, arbitrary: command('hangup', {}) },
);

export type Command = typeof commands extends fc.Arbitrary<infer T> ? T : never;

const kinds = weighted<Kind>(
  [12, 'normal'],
  [3, 'short', 'rejected', 'odd', 'crasher', 'hanger', 'amnesiac'],
);

/** What a run is like from its start. */
export const setups = fc.record({
  seed: fc.nat(),
  controllers: fc.constantFrom(1, 1, 2),
  /** rspamd alone, or with SpamAssassin. */
  filters: fc.constantFrom(1, 2),
  /** `mixed`: another one with each start. */
  after: fc.constantFrom('remove', 'archive', 'mixed'),
  isDivided: fc.constantFrom(false, false, false, true),
  backlog: fc.constantFrom(1_000, 1_000, 4, 2),
  concurrency: fc.constantFrom(8, 2, 1),
  /** How well inotify hears; `none`: LEARN_POLLING. */
  ears: fc.constantFrom('good', 'good', 'hard of hearing', 'deaf', 'none'),
  /** How rspamd takes the message of each key. */
  kinds: fc.array(kinds, { minLength: KEYS.length, maxLength: KEYS.length }),
  /** What the messages of the last two keys have in common. */
  common: fc.constantFrom('nothing', 'id', 'body', 'both'),
  forgets: fc.constantFrom(0, 0, 1, 4),
  diskMs: fc.constantFrom(0, 1, 1, 20),
  netMs: fc.constantFrom(1, 10, 50, 400),
  restartMs: fc.constantFrom(0, 100, 700, 5_000),
});

export type Setup = typeof setups extends fc.Arbitrary<infer T> ? T : never;
