import { beforeEach, describe, expect, test } from 'vitest';
import { Lanes, PIN_MS } from '../../src/learning/lanes.ts';
import { ManualClock } from '../support/manual-clock.ts';

let clock: ManualClock;
let lanes: Lanes;

beforeEach(() => {
  clock = new ManualClock();
  lanes = new Lanes(() => clock.monotonic());
});

describe('a lane', () => {
  test('is free until it is held, and again when it is released', () => {
    expect(lanes.areFree(['a', 'b'])).toBe(true);
    lanes.hold(['a']);
    expect(lanes.isHeld('a')).toBe(true);
    expect(lanes.isHeld('b')).toBe(false);
    lanes.release(['a']);
    expect(lanes.areFree(['a', 'b'])).toBe(true);
  });

  test('that is held keeps all messages from starting that need it, too', () => {
    lanes.hold(['b']);
    expect(lanes.areFree(['a', 'b', 'c'])).toBe(false);
    expect(lanes.areFree(['a', 'c'])).toBe(true);
    expect(lanes.areFree([])).toBe(true);
  });

  test('is no one’s concern to release that another needs', () => {
    lanes.hold(['a', 'b']);
    lanes.release(['b', 'nothing']);
    expect(lanes.isHeld('a')).toBe(true);
    expect(lanes.isHeld('b')).toBe(false);
  });
});

describe('a pin', () => {
  test('leads every message that shares a lane to its controller', () => {
    lanes.pin(['key:a', 'id:x'], 'one');
    expect(lanes.pinnedTo(['key:a'])).toBe('one');
    expect(lanes.pinnedTo(['key:b', 'id:x'])).toBe('one');
    expect(lanes.pinnedTo(['key:b', 'id:y'])).toBeUndefined();
    expect(lanes.pinnedTo([])).toBeUndefined();
  });

  test('lasts until its controller answers a post of the lane', () => {
    lanes.pin(['key:a', 'id:x'], 'one');
    lanes.unpin(['key:a'], 'other');
    expect(lanes.pinnedTo(['key:a'])).toBe('one');
    lanes.unpin(['key:a'], 'one');
    expect(lanes.pinnedTo(['key:a'])).toBeUndefined();
    // it may still have what it was sent of the other message
    expect(lanes.pinnedTo(['id:x'])).toBe('one');
  });

  test('lasts until its controller’s process is gone, and then all of them end', () => {
    lanes.pin(['key:a'], 'one');
    lanes.pin(['key:b'], 'one');
    lanes.pin(['key:b'], 'other');
    lanes.unpinAll('one');
    expect(lanes.pinnedTo(['key:a'])).toBeUndefined();
    expect(lanes.pinnedTo(['key:b'])).toBe('other');
  });

  test('lasts for an hour of silence', () => {
    lanes.pin(['key:a'], 'one');
    clock.advance(PIN_MS - 1);
    expect(lanes.pinnedTo(['key:a'])).toBe('one');
    clock.advance(1);
    expect(lanes.pinnedTo(['key:a'])).toBeUndefined();
  });

  test('counts from the first post that got no answer', () => {
    lanes.pin(['key:a'], 'one');
    clock.advance(PIN_MS - 1_000);
    lanes.pin(['key:a'], 'one');
    clock.advance(1_000);
    expect(lanes.pinnedTo(['key:a'])).toBeUndefined();
  });

  test('begins anew when it was over', () => {
    lanes.pin(['key:a'], 'one');
    clock.advance(PIN_MS);
    lanes.pin(['key:a'], 'one');
    clock.advance(PIN_MS - 1);
    expect(lanes.pinnedTo(['key:a'])).toBe('one');
  });

  test('of two controllers: the older one goes first, then the other', () => {
    lanes.pin(['key:a'], 'one');
    clock.advance(1_000);
    lanes.pin(['key:a'], 'two');
    expect(lanes.pinnedTo(['key:a'])).toBe('one');
    lanes.unpin(['key:a'], 'one');
    expect(lanes.pinnedTo(['key:a'])).toBe('two');
  });

  test('of two lanes to two controllers: the older one goes first', () => {
    lanes.pin(['id:x'], 'two');
    clock.advance(1);
    lanes.pin(['key:a'], 'one');
    expect(lanes.pinnedTo(['key:a', 'id:x'])).toBe('two');
  });

  test('that is over gives way to one that is not', () => {
    lanes.pin(['key:a'], 'one');
    clock.advance(PIN_MS - 1);
    lanes.pin(['key:a'], 'two');
    clock.advance(1);
    expect(lanes.pinnedTo(['key:a'])).toBe('two');
  });

  test('does not hold its lane', () => {
    lanes.pin(['key:a'], 'one');
    expect(lanes.areFree(['key:a'])).toBe(true);
  });
});
