import { beforeEach, describe, expect, test } from 'vitest';
import { Affinity, BOUND_MS } from '../../src/delivery/affinity.ts';
import { ManualClock } from '../support/manual-clock.ts';

let clock: ManualClock;
let affinity: Affinity;

beforeEach(() => {
  clock = new ManualClock();
  affinity = new Affinity(() => clock.monotonic());
});

describe('a bond', () => {
  test('leads every message that shares a lock to its controller', () => {
    affinity.bind(['key:a', 'id:x'], 'one');
    expect(affinity.controllerOf(['key:a'])).toBe('one');
    expect(affinity.controllerOf(['key:b', 'id:x'])).toBe('one');
    expect(affinity.controllerOf(['key:b', 'id:y'])).toBeUndefined();
    expect(affinity.controllerOf([])).toBeUndefined();
  });

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

  test('begins anew when it was over', () => {
    affinity.bind(['key:a'], 'one');
    clock.advance(BOUND_MS);
    affinity.bind(['key:a'], 'one');
    clock.advance(BOUND_MS - 1);
    expect(affinity.controllerOf(['key:a'])).toBe('one');
  });

  test('of two controllers: the older one goes first, then the other', () => {
    affinity.bind(['key:a'], 'one');
    clock.advance(1_000);
    affinity.bind(['key:a'], 'two');
    expect(affinity.controllerOf(['key:a'])).toBe('one');
    affinity.unbind(['key:a'], 'one');
    expect(affinity.controllerOf(['key:a'])).toBe('two');
  });

  test('of two locks to two controllers: the older one goes first', () => {
    affinity.bind(['id:x'], 'two');
    clock.advance(1);
    affinity.bind(['key:a'], 'one');
    expect(affinity.controllerOf(['key:a', 'id:x'])).toBe('two');
  });

  test('that is over gives way to one that is not', () => {
    affinity.bind(['key:a'], 'one');
    clock.advance(BOUND_MS - 1);
    affinity.bind(['key:a'], 'two');
    clock.advance(1);
    expect(affinity.controllerOf(['key:a'])).toBe('two');
  });
});
