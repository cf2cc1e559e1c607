import { beforeEach, describe, expect, test } from 'vitest';
import { MessageLocks, keyLock } from '../../src/spool/message-locks.ts';

let locks: MessageLocks;

beforeEach(() => {
  locks = new MessageLocks();
});

describe('a lock', () => {
  test('that is held keeps all messages from starting that need it, too', () => {
    locks.hold(['b']);
    expect(locks.areFree(['a', 'b', 'c'])).toBe(false);
    expect(locks.areFree(['a', 'c'])).toBe(true);
    expect(locks.areFree([])).toBe(true);
  });
});

describe('the lock of a key', () => {
  test('is one of the message’s locks', () => {
    locks.holdKey('a');
    expect(locks.isKeyHeld('a')).toBe(true);
    expect(locks.areFree([keyLock('a')])).toBe(false);
    locks.releaseKey('a');
    expect(locks.isKeyHeld('a')).toBe(false);
  });

  test('tells who listens that it is released, until they are gone', () => {
    const heard: string[] = [];
    const end = new AbortController();
    locks.onKeyReleased((key) => heard.push(`${key} ${locks.isKeyHeld(key)}`), end.signal);
    locks.holdKey('a');
    locks.releaseKey('a');
    end.abort();
    locks.releaseKey('b');
    expect(heard).toEqual(['a false']);
  });
});
