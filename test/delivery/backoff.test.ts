import { expect, test } from 'vitest';
import { backoffMs } from '../../src/delivery/backoff.ts';

test.each([
  [1, 0.5, 1_000],
  [2, 0.5, 2_000],
  [5, 0.5, 16_000],
  [1, 0, 800],
  [1, 1, 1_200],
  [10, 0.5, 300_000],
  [Number.MAX_SAFE_INTEGER, 1, 360_000],
])('the wait doubles up to five minutes, give or take a fifth: %d, %d', (failures, random, ms) => {
  expect(backoffMs(failures, random)).toBe(ms);
});

test('may begin with another wait', () => {
  expect([1, 2, 9].map((failures) => backoffMs(failures, 0.5, 60_000))).toEqual([
    60_000, 120_000, 300_000,
  ]);
});
