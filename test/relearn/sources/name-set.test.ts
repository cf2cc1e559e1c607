import { describe, expect, test } from 'vitest';
import { NameSet } from '../../../src/relearn/sources/name-set.ts';

describe('a name set', () => {
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

  test('takes at most 32 bytes a name, also while it grows', () => {
    const set = new NameSet();
    let most = 0;
    let before = set.bytes;
    for (let count = 1; count <= 200_000; count += 1) {
      set.add(`name ${count}`);
      // At the moment of growing there are both.
      const bytes = set.bytes === before ? before : before + set.bytes;
      if (count > 1_000) most = Math.max(most, bytes / count);
      before = set.bytes;
    }
    expect(most).toBeGreaterThan(8);
    expect(most).toBeLessThan(33);
  });
});
