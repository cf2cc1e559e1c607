import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { LearnCounts } from '../../src/delivery/learn-counts.ts';
import { chanceOf } from '../support/seed.ts';
import { TornFigures } from '../support/torn-figures.ts';

const LOOK_MS = 5_000;

let counts: LearnCounts;
let now: number;
let learns: number;

beforeEach(() => {
  counts = new LearnCounts();
  now = 0;
  learns = 5_000;
});

/** One look, five seconds after the last one. */
function look(
  spam: number | undefined,
  ham: number | undefined,
  uptimeSeconds = 9_999,
  further: Readonly<Record<string, number>> = {},
): number {
  now += LOOK_MS;
  const learned = { ...further, spam, ham };
  return counts.observe({ hasBackend: true, learned, learns, uptimeSeconds }, now, learns);
}

/** Looks that show the same for so long; what they find missing, one after the other. */
function lookFor(seconds: number, ...shown: Parameters<typeof look>): readonly number[] {
  const found: number[] = [];
  for (let i = 0; i < seconds; i += 5) {
    const missing = look(...shown);
    if (missing > 0) found.push(missing);
  }
  return found;
}

const NOTHING: readonly number[] = [];

describe('nothing is missing', () => {
  test('at the first looks', () => {
    expect(lookFor(300, 0, 0)).toEqual(NOTHING);
    expect(lookFor(300, 5, 5)).toEqual(NOTHING);
  });

  test('when the sum grows, stays, or falls by 10', () => {
    lookFor(100, 500, 500);
    expect(lookFor(100, 600, 500)).toEqual(NOTHING);
    expect(lookFor(100, 595, 495)).toEqual(NOTHING);
  });

  test('when it falls by one in a hundred', () => {
    lookFor(100, 5_000, 5_000);
    expect(lookFor(100, 4_900, 5_000)).toEqual(NOTHING);
  });

  test('while figures are unknown, or rspamd is young', () => {
    lookFor(100, 1_000, 1_000);
    expect(look(undefined, 0)).toBe(0);
    expect(look(0, undefined)).toBe(0);
    expect(look(0, 0, 1)).toBe(0);
    expect(look(0, 0, 6)).toBe(0);
    expect(look(1_000, 1_000, 11)).toBe(0);
  });
});

test('with three classes, of which turned verdicts are taken, half may go', () => {
  expect(lookFor(120, 50, 50, 9_999, { newsletter: 400 })).toEqual(NOTHING);
  expect(lookFor(120, 50, 50, 9_999, { newsletter: 200 })).toEqual(NOTHING);
  expect(lookFor(120, 50, 50, 9_999, { newsletter: 100 })).toEqual([300]);
});

describe('what is missing is counted', () => {
  const losses: [what: string, before: [number, number], after: [number, number], missing: number][] = [
    ['when the sum falls by more than 10', [50, 50], [45, 44], 11],
    ['when it falls by more than one in a hundred', [5_000, 5_000], [4_950, 4_949], 101],
    ['when all is gone', [1_000, 1_000], [0, 0], 2_000],
    ['when one class alone is gone', [500, 500], [0, 500], 500],
  ]; // prettier-ignore

  test.each(losses)('%s, once, after a minute', (_what, before, after, missing) => {
    lookFor(100, ...before);
    expect(lookFor(60, ...after)).toEqual(NOTHING);
    expect(lookFor(60, ...after)).toEqual([missing]);
    expect(lookFor(300, ...after)).toEqual(NOTHING);
  });

  test('also when it was not to be seen in between, a minute after the first look', () => {
    lookFor(100, 1_000, 1_000);
    look(0, 0, 4);
    now += 60_000;
    expect(look(100, 100, 69)).toBe(0);
    expect(lookFor(70, 100, 100)).toEqual([1_800]);
  });

  test('without what may have been learned since', () => {
    lookFor(100, 1_000, 1_000);
    learns += 100;
    expect(lookFor(70, 100, 0)).toEqual([1_900]);
  });
});

/** A simulated rspamd, and a watch for so long over what it shows, which returns what is missing. */
function watched(seed: number, workers: number) {
  const figures = new TornFigures(chanceOf(seed), { spam: 300, ham: 300 }, workers);
  const watching = new LearnCounts();
  return {
    figures,
    watch: (ms: number): readonly number[] => {
      const found: number[] = [];
      for (let passed = 0; passed < ms; passed += 1_000) {
        figures.pass(1_000);
        if (figures.now % LOOK_MS > 0) continue;
        const seen = figures.look();
        const missing = watching.observe(seen, figures.now, seen.learns ?? 0);
        if (missing > 0) found.push(missing);
      }
      return found;
    },
  };
}

const SEED = fc.integer({ min: 0, max: 2 ** 31 });
const ROUND = fc.record({
  turned: fc.integer({ min: 0, max: 200 }),
  into: fc.constantFrom('spam', 'ham'),
  more: fc.integer({ min: 0, max: 20 }),
  seconds: fc.integer({ min: 1, max: 100 }),
});

test('however verdicts are turned, nothing is missing', () => {
  fc.assert(
    fc.property(
      SEED,
      fc.integer({ min: 1, max: 3 }),
      fc.array(ROUND, { maxLength: 20 }),
      (seed, workers, rounds) => {
        const { figures, watch } = watched(seed, workers);
        expect(watch(70_000)).toEqual(NOTHING);
        for (const { turned, into, more, seconds } of rounds) {
          const most = figures.held[into === 'spam' ? 'ham' : 'spam'];
          const count = Math.min(turned, most);
          figures.learn(into, count + more, count);
          expect(watch(seconds * 1_000)).toEqual(NOTHING);
        }
        expect(watch(200_000)).toEqual(NOTHING);
      },
    ),
  );
});

test('a flush after whatever was turned is seen within two minutes', () => {
  fc.assert(
    fc.property(SEED, fc.array(ROUND, { maxLength: 5 }), (seed, rounds) => {
      const { figures, watch } = watched(seed, 1);
      watch(150_000);
      for (const { turned, into, seconds } of rounds) {
        const count = Math.min(turned, figures.held[into === 'spam' ? 'ham' : 'spam']);
        figures.learn(into, count, count);
        watch(seconds * 1_000);
      }
      watch(130_000);
      figures.flush();
      // 60 s until rspamd shows it, and as long until it can't be a turned verdict
      expect(watch(125_000 + LOOK_MS)).toEqual([600]);
      expect(watch(200_000)).toEqual(NOTHING);
    }),
  );
});

describe('posts are shown to be stored', () => {
  /** Shows the same for so long, after so many learns. */
  function show(seconds: number, spam: number, ham: number, acknowledged: number): void {
    learns = acknowledged;
    lookFor(seconds, spam, ham);
  }

  const cases: [what: string, isShown: boolean, before: () => void, after: () => void][] = [
    ['a minute after a turned verdict was counted at each post', true,
      () => show(70, 40, 10, 500), () => { show(5, 40, 10, 504); show(65, 36, 14, 504); }],
    ['not before that minute is over', false,
      () => show(70, 40, 10, 500), () => { show(5, 40, 10, 504); show(50, 36, 14, 504); }],
    ['not where nothing was stored', false,
      () => show(70, 40, 10, 500), () => show(75, 40, 10, 504)],
    ['not where a part was not stored', false,
      () => show(70, 40, 10, 500), () => show(75, 43, 10, 504)],
    ['not by what may have been learned shortly before', false,
      () => { show(70, 40, 10, 500); show(5, 40, 10, 504); }, () => show(75, 44, 10, 508)],
    ['not by a count that another worker had shown before', false,
      () => { show(60, 40, 10, 500); show(5, 44, 10, 500); show(5, 40, 10, 500); },
      () => show(75, 44, 10, 504)],
    ['not where nobody had looked for a minute before', false,
      () => show(60, 40, 10, 500), () => show(75, 44, 10, 504)],
    ['not where rspamd has lost count', false,
      () => show(70, 40, 10, 500), () => show(70, 48, 10, 400)],
    ['not across a start of rspamd', false,
      () => show(70, 40, 10, 500), () => { look(44, 10, 2); show(70, 44, 10, 504); }],
    ['not without figures', false,
      () => show(70, 40, 10, 500),
      () => { for (let i = 0; i < 15; i += 1) look(undefined, undefined); }],
  ]; // prettier-ignore

  test.each(cases)('%s', (_what, isShown, before, after) => {
    before();
    const from = now;
    after();
    expect(counts.shows(from, from + LOOK_MS)).toBe(isShown);
  });
});

describe('Bayes is hollow', () => {
  test('a minute after ten learns of which it counts none', () => {
    look(0, 0);
    learns += 10;
    lookFor(60, 0, 0);
    expect(counts.isHollow).toBe(false);
    lookFor(10, 0, 0);
    expect(counts.isHollow).toBe(true);
  });

  test('also when it was emptied before', () => {
    lookFor(100, 50, 50);
    look(0, 0);
    learns += 10;
    lookFor(70, 0, 0);
    expect(counts.isHollow).toBe(true);
  });

  /** Each step: how many are learned, then for how many seconds what is shown. */
  type Step = readonly [more: number, seconds: number, ...shown: Parameters<typeof look>];

  test.each<[string, ...Step[]]>([
    ['when nothing is learned', [0, 300, 0, 0]],
    ['when it was emptied after the last learn', [0, 20, 50, 50], [30, 300, 0, 0]],
    ['when one is counted', [0, 5, 0, 0], [30, 60, 0, 0], [0, 60, 1, 0]],
    ['after a start of rspamd', [0, 5, 0, 0], [30, 100, 0, 0], [0, 5, 0, 0, 1]],
    ['while figures are unknown', [0, 5, 0, 0], [30, 30, 0, 0], [0, 100, undefined, 0]],
  ])('and is not %s', (_what, ...steps) => {
    for (const [more, ...shown] of steps) {
      learns += more;
      lookFor(...shown);
    }
    expect(counts.isHollow).toBe(false);
  });
});
