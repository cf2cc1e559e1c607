import { describe, expect, test } from 'vitest';
import { classesOf, isClassName, ofClass, perClass, takesPrecedence } from '../src/verdict.ts';

describe('of two files of one name', () => {
  test.each([
    ['spam', 2n, 'ham', 1n],
    ['news', 2n, 'ham', 1n],
    // the clock's tick was the same; alphabetically some of them would win otherwise
    ['ham', 1n, 'spam', 1n],
    ['ham', 1n, 'bulk', 1n],
    ['ham', 1n, 'news', 1n],
    ['news', 1n, 'spam', 1n],
    ['travel', 1n, 'spam', 1n],
    ['bulk', 1n, 'news', 1n],
  ])('%s of %d beats %s of %d', (verdict, mtimeNs, other, otherMtimeNs) => {
    expect(takesPrecedence(verdict, mtimeNs, other, otherMtimeNs)).toBe(true);
    expect(takesPrecedence(other, otherMtimeNs, verdict, mtimeNs)).toBe(false);
  });

  test('none beats itself', () => {
    for (const verdict of ['spam', 'ham', 'news']) {
      expect(takesPrecedence(verdict, 1n, verdict, 1n)).toBe(false);
    }
  });
});

test('something for each class is made once, and for no other', () => {
  const made: string[] = [];
  const things = perClass(['spam', 'ham', 'news'], (verdict) => made.push(verdict));
  expect(made).toEqual(['spam', 'ham', 'news']);
  expect(classesOf(things)).toEqual(['spam', 'ham', 'news']);
  expect(ofClass(things, 'news')).toBe(3);
  expect(() => ofClass(things, 'other')).toThrow('there is no class other');
});

test.each(['news', 'N', 'a-b_9', 'a'.repeat(32)])('%s names a class', (name) => {
  expect(isClassName(name)).toBe(true);
});

test.each(['', '9a', '-a', '_a', 'a b', 'a/b', '../a', 'a.b', 'ä', 'a\n', 'a'.repeat(33)])(
  '%j names none',
  (name) => expect(isClassName(name)).toBe(false),
);
