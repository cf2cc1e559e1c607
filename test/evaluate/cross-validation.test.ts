import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { dealFolds } from '../../src/evaluate/cross-validation.ts';
import { copyKeysOf } from '../../src/evaluate/copies.ts';

/** Messages by key, of which few are the same. */
const MEMBERS = fc.array(
  fc.record({ key: fc.integer({ min: 1, max: 400 }), isSpam: fc.boolean() }),
  { minLength: 1, maxLength: 200 },
);

function dealt(members: readonly { key: number; isSpam: boolean }[], folds: number, seed: number) {
  const keys = members.map(({ key }) => key);
  return dealFolds(keys, (at) => members[at]?.isSpam === true, folds, seed);
}

describe('the folds', () => {
  test('of a class hold as many different messages each, give or take one', () => {
    fc.assert(
      fc.property(MEMBERS, fc.integer({ min: 2, max: 9 }), fc.nat(), (members, folds, seed) => {
        const foldOf = dealt(members, folds, seed);
        const spamKeys = new Set(members.filter((each) => each.isSpam).map(({ key }) => key));
        for (const isSpam of [true, false]) {
          const byKey = new Map(
            members.flatMap(({ key }, at) =>
              spamKeys.has(key) === isSpam ? [[key, foldOf[at]] as const] : [],
            ),
          );
          const sizes = Array.from(
            { length: folds },
            (_, fold) => [...byKey.values()].filter((each) => each === fold).length,
          );
          expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
        }
      }),
    );
  });

  test('hold all copies of a message in one of them', () => {
    fc.assert(
      fc.property(MEMBERS, fc.nat(), (members, seed) => {
        const foldOf = dealt(members, 5, seed);
        const seen = new Map<number, number | undefined>();
        for (const [at, { key }] of members.entries()) {
          expect(seen.get(key) ?? foldOf[at]).toBe(foldOf[at]);
          seen.set(key, foldOf[at]);
        }
      }),
    );
  });

  test('are the same for the same seed in whatever order, and others for another seed', () => {
    const members = Array.from({ length: 100 }, (_, at) => ({
      key: 1 + 7 * at,
      isSpam: at % 3 === 0,
    }));
    const forwards = dealt(members, 5, 1);
    expect(dealt(members.toReversed(), 5, 1).toReversed()).toEqual(forwards);
    expect(dealt(members, 5, 2)).not.toEqual(forwards);
  });
});

describe('copies', () => {
  test('are together when they share any number, by way of others as well; 0 is none', () => {
    const [ids, contents] = [
      [1, 1, 0, 0, 2, 3],
      [10, 20, 20, 30, 40, 50],
    ];
    const keys = [10, 10, 10, 30, 40, 50];
    expect(copyKeysOf(ids, contents)).toEqual(keys);
    const reversed = copyKeysOf(ids.toReversed(), contents.toReversed());
    expect(reversed.toReversed()).toEqual(keys);
  });

  test('in a long chain are found as well', () => {
    const places = Array.from({ length: 100_000 }, (_, at) => at);
    const keys = copyKeysOf(
      places.map((at) => Math.ceil((at + 1) / 2)),
      places.map((at) => 100_000 - Math.ceil(at / 2)),
    );
    expect(new Set(keys).size).toBe(1);
  });
});
