import { beforeEach, describe, expect, test } from 'vitest';
import { Affinity, BOUND_MS, preferenceOf } from '../../src/delivery/affinity.ts';
import { ManualClock } from '../support/manual-clock.ts';

const THREE = ['http://a:11334', 'http://b:11334', 'unix:/run/c.sock'];
const KEYS = Array.from({ length: 3_000 }, (_, index) => `${index}.eml`);

let clock: ManualClock;
let affinity: Affinity;

beforeEach(() => {
  clock = new ManualClock();
  affinity = new Affinity(clock);
});

describe('a bond', () => {
  test('lasts until its controller answers a post with the lock', () => {
    affinity.bind(['key:a', 'id:x'], 'one');
    affinity.unbind(['key:a'], 'other');
    expect(affinity.controllerOf(['key:a'])).toBe('one');
    affinity.unbind(['key:a'], 'one');
    expect(affinity.controllerOf(['key:a'])).toBeUndefined();
    // it may still have what it was sent of the other message
    expect(affinity.controllerOf(['id:x'])).toBe('one');
  });

  test('lasts until its controller’s process is gone, and then all of them end', () => {
    affinity.bind(['key:a'], 'one');
    affinity.bind(['key:b'], 'one');
    affinity.bind(['key:b'], 'other');
    affinity.unbindAll('one');
    expect(affinity.controllerOf(['key:a'])).toBeUndefined();
    expect(affinity.controllerOf(['key:b'])).toBe('other');
  });

  test('lasts for an hour of silence', () => {
    affinity.bind(['key:a'], 'one');
    clock.advance(BOUND_MS - 1);
    expect(affinity.controllerOf(['key:a'])).toBe('one');
    clock.advance(1);
    expect(affinity.controllerOf(['key:a'])).toBeUndefined();
  });

  test('counts from the first post that got no answer', () => {
    affinity.bind(['key:a'], 'one');
    clock.advance(BOUND_MS - 1_000);
    affinity.bind(['key:a'], 'one');
    clock.advance(1_000);
    expect(affinity.controllerOf(['key:a'])).toBeUndefined();
  });

  test('of two controllers: the older one goes first, then the other', () => {
    affinity.bind(['key:a'], 'one');
    clock.advance(1_000);
    affinity.bind(['key:a'], 'two');
    expect(affinity.controllerOf(['key:a'])).toBe('one');
    affinity.unbind(['key:a'], 'one');
    expect(affinity.controllerOf(['key:a'])).toBe('two');
  });
});

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
