import fc from 'fast-check';
import type { Verdict } from '../../../src/verdict.ts';
import type { Kind } from './files.ts';
import { MODES } from './requests.ts';
import type { Mode } from './requests.ts';

/** What can happen, as plain values: fast-check makes them up, shrinks them and prints them. */

export const KEYS = ['a', 'b', 'c', 'd'] as const;

/** What a run is like from its start. */
export interface Setup {
  readonly seed: number;
  readonly controllers: 1 | 2;
  readonly after: 'remove' | 'archive';
  readonly isDivided: boolean;
  readonly backlog: number;
  readonly concurrency: number;
  /** How well the doorbell hears; `none`: LEARN_POLLING. */
  readonly ears: 'good' | 'hard of hearing' | 'deaf' | 'none';
  /** How rspamd takes the message of each key. */
  readonly kinds: readonly Kind[];
  /** What the messages of the last two keys have in common. */
  readonly common: 'nothing' | 'id' | 'body' | 'both';
  readonly forgets: number;
  readonly diskMs: number;
  readonly netMs: number;
  readonly restartMs: number;
}

export type Command =
  | {
      readonly do: 'write';
      readonly key: number;
      readonly verdict: Verdict;
      readonly pieces: number;
      readonly pauses: readonly number[];
      readonly steps: number;
      readonly skew: number;
    }
  | { readonly do: 'tick'; readonly ms: number }
  | { readonly do: 'kill'; readonly slot: number; readonly steps: number }
  | { readonly do: 'stop'; readonly slot: number }
  | { readonly do: 'second' }
  | { readonly do: 'controller'; readonly which: number; readonly mode: Mode }
  | { readonly do: 'wall'; readonly ms: number }
  | { readonly do: 'freeze'; readonly slot: number; readonly ms: number }
  | { readonly do: 'touch'; readonly key: number; readonly verdict: Verdict; readonly skew: number }
  | { readonly do: 'release' }
  | { readonly do: 'drop' }
  | { readonly do: 'folder'; readonly verdict: Verdict; readonly missingMs: number }
  | { readonly do: 'hangup' };

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

const verdicts = fc.constantFrom<Verdict>('spam', 'ham');
const keys = fc.nat({ max: KEYS.length - 1 });
const slots = fc.constantFrom(0, 0, 0, 1);

/** Mostly 0. */
const skews = fc.oneof(
  { weight: 8, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.constantFrom(-1_000, -DAY, DAY, 1_000) },
);

const pauses = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.constant(0) },
    { weight: 4, arbitrary: fc.constantFrom(1, 5, 20, 100, 190, 199, 201, 210) },
    { weight: 2, arbitrary: fc.constantFrom(500, 1_500, 1_999, 2_001, 2_020, 2_500) },
    { weight: 1, arbitrary: fc.constantFrom(10_000, 40_000) },
  ),
  { maxLength: 8 },
);

const ticks = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(5, 20, 60, 100, 180, 200, 220, 300, 500) },
  { weight: 6, arbitrary: fc.constantFrom(1_000, 1_500, 2_000, 2_030, 2_500, 4_000) },
  { weight: 3, arbitrary: fc.constantFrom(8_000, 15_000, 31_000) },
  { weight: 1, arbitrary: fc.constantFrom(65_000, 130_000) },
);

const writes = fc.record({
  do: fc.constant('write' as const),
  key: keys,
  verdict: verdicts,
  pieces: fc.integer({ min: 1, max: 3 }),
  pauses,
  steps: fc.oneof(
    { weight: 10, arbitrary: fc.constant(99) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 7 }) },
  ),
  skew: skews,
});

export const commands: fc.Arbitrary<Command> = fc.oneof(
  { weight: 30, arbitrary: writes },
  { weight: 30, arbitrary: fc.record({ do: fc.constant('tick' as const), ms: ticks }) },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('kill' as const),
      slot: slots,
      steps: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 40 }), fc.nat({ max: 400 })),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('stop' as const), slot: slots }) },
  { weight: 2, arbitrary: fc.constant({ do: 'second' as const }) },
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant('controller' as const),
      which: fc.nat({ max: 1 }),
      mode: fc.oneof(fc.constant('up' as const), fc.constantFrom(...MODES)),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('wall' as const),
      ms: fc.constantFrom(-HOUR, HOUR, -DAY, DAY, -40 * DAY, 40 * DAY),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('freeze' as const),
      slot: slots,
      ms: fc.constantFrom(100, 1_000, 5_000, 60_000),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('touch' as const),
      key: keys,
      verdict: verdicts,
      skew: fc.constantFrom(-DAY, 0, DAY),
    }),
  },
  { weight: 2, arbitrary: fc.constant({ do: 'release' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'drop' as const }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('folder' as const),
      verdict: verdicts,
      missingMs: fc.constantFrom(0, 100, 3_000),
    }),
  },
  { weight: 2, arbitrary: fc.constant({ do: 'hangup' as const }) },
);

const kinds = fc.oneof(
  { weight: 12, arbitrary: fc.constant<Kind>('normal') },
  {
    weight: 3,
    arbitrary: fc.constantFrom<Kind>('short', 'rejected', 'odd', 'crasher', 'hanger', 'amnesiac'),
  },
);

export const setups: fc.Arbitrary<Setup> = fc.record({
  seed: fc.nat(),
  controllers: fc.constantFrom<1 | 2>(1, 1, 2),
  after: fc.constantFrom<'remove' | 'archive'>('remove', 'remove', 'archive'),
  isDivided: fc.constantFrom(false, false, false, true),
  backlog: fc.constantFrom(1_000, 1_000, 4, 2),
  concurrency: fc.constantFrom(8, 2, 1),
  ears: fc.constantFrom<Setup['ears']>('good', 'good', 'hard of hearing', 'deaf', 'none'),
  kinds: fc.array(kinds, { minLength: KEYS.length, maxLength: KEYS.length }),
  common: fc.constantFrom<Setup['common']>('nothing', 'id', 'body', 'both'),
  forgets: fc.constantFrom(0, 0, 1, 4),
  diskMs: fc.constantFrom(0, 1, 1, 20),
  netMs: fc.constantFrom(1, 10, 50, 400),
  restartMs: fc.constantFrom(0, 100, 700, 5_000),
});
