import fc from 'fast-check';
import { expect, test } from 'vitest';
import { backoffMs } from '../../src/delivery/policy.ts';

const MIDDLE = 0.5;

test('waits one second after the first failure and doubles from there', () => {
  const waits = [1, 2, 3, 4, 5].map((failures) => backoffMs(failures, MIDDLE));
  expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 16_000]);
});

test.each([10, 100, 1_025, Number.MAX_SAFE_INTEGER])(
  'never waits longer than five minutes, give or take a fifth: after %d failures',
  (failures) => {
    expect(backoffMs(failures, MIDDLE)).toBe(300_000);
    expect(backoffMs(failures, 1)).toBe(360_000);
    expect(backoffMs(failures, 0)).toBe(240_000);
  },
);

test('gives or takes a fifth, by chance', () => {
  expect(backoffMs(1, 0)).toBe(800);
  expect(backoffMs(1, 1)).toBe(1_200);
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 50 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (failures, random) => {
        const plain = backoffMs(failures, MIDDLE);
        const wait = backoffMs(failures, random);
        expect(wait).toBeGreaterThanOrEqual(plain * 0.8 - 1);
        expect(wait).toBeLessThanOrEqual(plain * 1.2 + 1);
      },
    ),
  );
});

test('may begin with another wait', () => {
  expect(backoffMs(1, MIDDLE, 60_000)).toBe(60_000);
  expect(backoffMs(2, MIDDLE, 60_000)).toBe(120_000);
  expect(backoffMs(9, MIDDLE, 60_000)).toBe(300_000);
});
