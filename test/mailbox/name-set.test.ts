import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { NameSet } from '../../src/mailbox/name-set.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

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

  test('holds at most 22 bytes a name', () => {
    const set = new NameSet();
    const before = heldBytes();
    let most = 0;
    for (let count = 1; count <= 200_000; count += 1) {
      set.add(`name ${count}`);
      if (count % 4_999 === 0 && count > 50_000)
        most = Math.max(most, (heldBytes() - before) / count);
    }
    expect(most).toBeGreaterThan(8);
    expect(most).toBeLessThan(22);
  });
});

/** Without what it grew out of, which is garbage that Node.js 24 leaves lying longer than 20. */
function heldBytes(): number {
  collect();
  return process.memoryUsage().arrayBuffers;
}
