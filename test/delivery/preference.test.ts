import { describe, expect, test } from 'vitest';
import { preferenceOf } from '../../src/delivery/policy.ts';

const THREE = ['http://a:11334', 'http://b:11334', 'unix:/run/c.sock'];
const KEYS = Array.from({ length: 3_000 }, (_, index) => `${index}.eml`);

describe('a key’s order of controllers', () => {
  test('has each of them once', () => {
    for (const key of KEYS.slice(0, 100)) {
      expect([...preferenceOf(key, THREE)].sort()).toEqual([...THREE].sort());
    }
  });

  test('is always the same, in whatever order they are named', () => {
    for (const key of KEYS.slice(0, 100)) {
      expect(preferenceOf(key, [...THREE].reverse())).toEqual(preferenceOf(key, THREE));
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
      expect(preferenceOf(key, without)).toEqual(
        preferenceOf(key, THREE).filter((name) => without.includes(name)),
      );
    }
  });

  test('with one more moves the new one’s share to it, and no other', () => {
    const four = [...THREE, 'http://d:11334'];
    let moved = 0;
    for (const key of KEYS) {
      const [before] = preferenceOf(key, THREE);
      const [after] = preferenceOf(key, four);
      if (after === before) continue;
      moved += 1;
      expect(after).toBe('http://d:11334');
    }
    expect(moved).toBeGreaterThan(600);
    expect(moved).toBeLessThan(900);
  });

  test('of one or none is that', () => {
    expect(preferenceOf('a', ['one'])).toEqual(['one']);
    expect(preferenceOf('a', [])).toEqual([]);
  });
});
