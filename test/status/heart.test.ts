import { expect, test } from 'vitest';
import { standstillReasons } from '../../src/status/heart.ts';

test('what is a little late is well', () => {
  expect(standstillReasons([])).toEqual([]);
  expect(standstillReasons([{ what: 'pickup', ms: 29_000 }])).toEqual([]);
});

test('what has stood still for half a minute is told, each with its time', () => {
  const standstills = [
    { what: 'pickup', ms: 31_000 },
    { what: 'the dispatcher', ms: 0 },
    { what: 'a message in flight', ms: 90_400 },
  ];
  expect(standstillReasons(standstills)).toEqual([
    'pickup has stood still for 31 s',
    'a message in flight has stood still for 90 s',
  ]);
});
