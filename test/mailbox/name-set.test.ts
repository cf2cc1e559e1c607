import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { NameSet } from '../../src/mailbox/name-set.ts';
import { until } from '../support/until.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

describe('a name set', () => {
  // The first test, so that no other one's garbage is freed meanwhile.
  test('holds at most 22 bytes a name', async () => {
    const set = new NameSet();
    const before = process.memoryUsage().arrayBuffers;
    // Just before it grows, just after, and in between.
    for (const size of [98_300, 98_310, 150_000, 196_610]) {
      while (set.size < size) set.add(`name ${set.size}`);
      // What it grew out of is garbage, and is freed by a thread of its own.
      await until(`${size} names take little`, () => {
        collect();
        return process.memoryUsage().arrayBuffers - before < 22 * size;
      });
      expect(process.memoryUsage().arrayBuffers - before).toBeGreaterThan(8 * size);
    }
    expect(set.size).toBe(196_610);
  });

  test('knows what was added, however large it grows', () => {
    const set = new NameSet();
    const names = Array.from({ length: 20_000 }, (_, index) => `name ${index}`);
    expect(names.filter((name) => !set.add(name))).toEqual([]);
    expect(set.size).toBe(20_000);
    expect(names.filter((name) => !set.has(name))).toEqual([]);
    expect(names.filter((name) => set.add(name))).toEqual([]);
    expect(names.filter((name) => set.has(`${name}?`))).toEqual([]);
    expect(set.size).toBe(20_000);
  });
});
