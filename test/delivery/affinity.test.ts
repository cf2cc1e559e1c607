import { describe, expect, test } from 'vitest';
import { preferenceOf } from '../../src/delivery/affinity.ts';

const THREE = ['http://a:11334', 'http://b:11334', 'unix:/run/c.sock'];
const KEYS = Array.from({ length: 3_000 }, (_, index) => `${index}.eml`);

describe('a key’s order of controllers', () => {
  test('is always the same, in whatever order they are named', () => {
    for (const key of KEYS.slice(0, 100)) {
      const order = preferenceOf(key, THREE);
      expect([...order].sort()).toEqual([...THREE].sort());
      expect(preferenceOf(key, [...THREE].reverse())).toEqual(order);
    }
  });

  test('gives each controller about its share', () => {
    for (const name of THREE) {
      const share = KEYS.filter((key) => preferenceOf(key, THREE)[0] === name).length;
      expect(share).toBeGreaterThan(800);
      expect(share).toBeLessThan(1_200);
    }
  });

  test('without one of them is the same order of the others', () => {
    const without = THREE.slice(1);
    for (const key of KEYS.slice(0, 300)) {
      const others = preferenceOf(key, THREE).filter((name) => without.includes(name));
      expect(preferenceOf(key, without)).toEqual(others);
    }
  });
});
