import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  areaUnderRoc,
  areaWithInterval,
  rocCurve,
  shareOf,
  standardErrorOfArea,
} from '../../src/evaluate/statistics.ts';

/** A class and a score that is often the same as others'. */
const SCORED = fc.array(
  fc.record({ isSpam: fc.boolean(), score: fc.integer({ min: 0, max: 9 }) }),
  {
    maxLength: 60,
  },
);

/** Hanley and McNeil (Radiology 1982, 143:29), table I: ratings from 1 to 5 of 109 tomograms. */
const NORMAL = [33, 6, 6, 11, 2];
const ABNORMAL = [3, 2, 2, 11, 33];

type All = readonly { readonly isSpam: boolean; readonly score: number }[];

function scored(all: All): Parameters<typeof rocCurve> {
  return [all.map(({ score }) => score), (at) => all[at]?.isSpam === true];
}

function areaOf(all: All) {
  return areaUnderRoc(...scored(all));
}

describe('the share of a whole', () => {
  // Newcombe, Statistics in Medicine 1998, 17:857, table I, method 3.
  test.each([
    [81, 263, 0.2553, 0.3662],
    [15, 148, 0.0624, 0.1605],
    [0, 20, 0, 0.1611],
    [1, 29, 0.0061, 0.1718],
  ])('%i of %i has the interval that Newcombe printed', (hits, total, low, high) => {
    const share = shareOf(hits, total);
    expect(share?.value).toBe(hits / total);
    expect(share?.low).toBeCloseTo(low, 4);
    expect(share?.high).toBeCloseTo(high, 4);
  });

  test('of everything reaches 1 exactly, and of nothing there is none', () => {
    expect(shareOf(20, 20)).toMatchObject({ value: 1, high: 1 });
    expect(shareOf(0, 0)).toBeUndefined();
  });
});

describe('the area under the ROC curve', () => {
  test('is the share of pairs in order, ties counting half, whatever the scores', () => {
    fc.assert(
      fc.property(SCORED, (all) => {
        const spam = all.filter(({ isSpam }) => isSpam);
        const ham = all.filter(({ isSpam }) => !isSpam);
        const pairs = spam.flatMap((one) => ham.map((other) => Math.sign(one.score - other.score)));
        const sum = pairs.reduce((total, sign) => total + (sign + 1) / 2, 0);
        const area = areaOf(all);
        if (pairs.length === 0) expect(area).toBeUndefined();
        else expect(area).toBeCloseTo(sum / pairs.length, 12);
      }),
    );
  });

  test("is Hanley's and McNeil's of their ratings, with their standard error", () => {
    const rated = (counts: readonly number[], isSpam: boolean) =>
      counts.flatMap((count, score) => Array.from({ length: count }, () => ({ isSpam, score })));
    const area = areaOf([...rated(NORMAL, false), ...rated(ABNORMAL, true)]) ?? NaN;
    expect(area).toBeCloseTo(0.893, 3);
    expect(standardErrorOfArea(area, 51, 58)).toBeCloseTo(0.032, 3);
  });

  test('is what lies under the points of the curve', () => {
    fc.assert(
      fc.property(SCORED, (all) => {
        const area = areaOf(all) ?? NaN;
        fc.pre(!Number.isNaN(area));
        const curve = rocCurve(...scored(all));
        let under = 0;
        for (const [at, { hamLost, spamCaught }] of curve.entries()) {
          const before = curve[at - 1];
          if (before === undefined) continue;
          under += ((hamLost - before.hamLost) * (spamCaught + before.spamCaught)) / 2;
        }
        expect(under).toBeCloseTo(area, 12);
        expect(curve.at(-1)).toMatchObject({ hamLost: 1, spamCaught: 1 });
      }),
    );
  });
});

describe('the interval of an area', () => {
  test('ends where the area that was seen lies 1.96 standard errors away', () => {
    const { low, high } = areaWithInterval(0.893, 51, 58);
    expect((0.893 - low) / standardErrorOfArea(low, 51, 58)).toBeCloseTo(1.959964, 5);
    expect((high - 0.893) / standardErrorOfArea(high, 51, 58)).toBeCloseTo(1.959964, 5);
  });

  test('has a width where no pair is out of order, and stays within 0 and 1', () => {
    const { low, high } = areaWithInterval(1, 40, 60);
    expect(high).toBe(1);
    expect(low).toBeGreaterThan(0.9);
    expect(low).toBeLessThan(1);
    expect(areaWithInterval(0, 40, 60).low).toBe(0);
  });
});
