import { beforeEach, describe, expect, test } from 'vitest';
import { MemoryWatch } from '../../src/learning/memory-watch.ts';

let memory: MemoryWatch;

beforeEach(() => {
  memory = new MemoryWatch();
});

function observe(
  spam: number | undefined,
  ham: number | undefined,
  uptimeSeconds?: number,
): number {
  return memory.observe({
    hasBackend: true,
    learned: { spam, ham },
    uptimeSeconds: uptimeSeconds ?? 3_600,
  });
}

describe('nothing is missing', () => {
  test('at the first look', () => {
    expect(observe(0, 0)).toBe(0);
    expect(observe(5, 5)).toBe(0);
  });

  test('when the sum grows, stays, or falls by 10', () => {
    observe(500, 500);
    expect(observe(600, 500)).toBe(0);
    expect(observe(600, 500)).toBe(0);
    expect(observe(595, 495)).toBe(0);
  });

  test('when it falls by one in a hundred', () => {
    observe(5_000, 5_000);
    expect(observe(4_900, 5_000)).toBe(0);
  });

  test('when a verdict is turned: the sum stays', () => {
    observe(1_000, 1_000);
    expect(observe(200, 1_800)).toBe(0);
  });

  test('while figures are unknown, or rspamd is young: it shows none yet', () => {
    observe(1_000, 1_000);
    expect(observe(undefined, 0)).toBe(0);
    expect(observe(0, undefined)).toBe(0);
    expect(observe(0, 0, 59)).toBe(0);
    expect(
      memory.observe({ hasBackend: true, learned: { spam: 0, ham: 0 }, uptimeSeconds: undefined }),
    ).toBe(0);
    expect(observe(1_000, 1_000)).toBe(0);
  });
});

describe('what is missing is counted', () => {
  test('when the sum falls by more than 10', () => {
    observe(50, 50);
    expect(observe(50, 39)).toBe(11);
  });

  test('when it falls by more than one in a hundred', () => {
    observe(5_000, 5_000);
    expect(observe(4_899, 5_000)).toBe(101);
  });

  test('when all is gone, once', () => {
    observe(1_000, 1_000);
    expect(observe(0, 0, 60)).toBe(2_000);
    expect(observe(0, 0)).toBe(0);
    expect(observe(5, 5)).toBe(0);
  });

  test('also when it was not to be seen in between', () => {
    observe(1_000, 1_000);
    observe(0, 0, 5);
    expect(observe(100, 100, 65)).toBe(1_800);
  });
});
