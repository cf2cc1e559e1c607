import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { clean, nearest, plural } from '../src/text.ts';

describe('clean', () => {
  test('leaves ordinary text as it is, in any script', () => {
    for (const text of ['', 'plain text', 'Grüße aus Köln', '日本語', 'a <b> "c" \\d %e']) {
      expect(clean(text)).toBe(text);
    }
  });

  test.each([
    ['a line break', 'a\nb', 'a?b'],
    ['a carriage return', 'a\rb', 'a?b'],
    ['a tab', 'a\tb', 'a?b'],
    ['NUL', 'a\0b', 'a?b'],
    ['an escape sequence', '\x1b[31mred', '?[31mred'],
    ['DEL', 'a\x7fb', 'a?b'],
    ['a C1 control', 'a\x9bb', 'a?b'],
    ['a line separator', 'a\u2028b', 'a?b'],
    ['text that is turned round', 'a\u202eb', 'a?b'],
    ['a bidi isolate', 'a\u2066b', 'a?b'],
    ['a zero-width joiner', 'a\u200db', 'a?b'],
    ['a byte order mark', '\ufeffa', '?a'],
    ['half a surrogate pair', 'a\ud800b', 'a?b'],
  ])('replaces %s', (_, text, expected) => {
    expect(clean(text)).toBe(expected);
  });

  test('keeps whole surrogate pairs', () => {
    expect(clean('a😀b')).toBe('a😀b');
  });

  test('cuts what is longer than the limit, and says so', () => {
    expect(clean('abcdef', 6)).toBe('abcdef');
    expect(clean('abcdefg', 6)).toBe('abcde…');
    expect(clean('x'.repeat(1000)).length).toBe(200);
  });

  test('never returns anything unfit or too long, whatever it is given', () => {
    const text = fc.string({ unit: 'binary', maxLength: 300 });
    fc.assert(
      fc.property(text, fc.integer({ min: 2, max: 250 }), (given, limit) => {
        const cleaned = clean(given, limit);
        expect(cleaned.length).toBeLessThanOrEqual(limit);
        expect(cleaned).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/u);
        expect(clean(cleaned, limit)).toBe(cleaned);
      }),
    );
  });
});

test('plural puts a count and its noun together', () => {
  expect([0, 1, 2].map((count) => plural(count, 'message'))).toEqual([
    '0 messages',
    '1 message',
    '2 messages',
  ]);
});

describe('nearest', () => {
  const commands = ['watch', 'relearn', 'status', 'health', 'doctor', 'quarantine', 'demo'];

  test.each([
    ['wacth', 'watch'],
    ['watc', 'watch'],
    ['Watch', 'watch'],
    ['re-learn', 'relearn'],
    ['learn', 'relearn'],
    ['statsu', 'status'],
    ['quarrantine', 'quarantine'],
    ['demo', 'demo'],
  ])('of %s is %s', (word, command) => {
    expect(nearest(word, commands)).toBe(command);
  });

  test.each(['zzzzz', 'install', ''])('of "%s" is none', (word) => {
    expect(nearest(word, commands)).toBeUndefined();
  });

  test('finds each word again after any one edit', () => {
    const edit = fc.record({
      command: fc.constantFrom(...commands),
      at: fc.nat(20),
      kind: fc.constantFrom('insert', 'delete', 'replace'),
      letter: fc.constantFrom('x', 'q', '-'),
    });
    fc.assert(
      fc.property(edit, ({ command, at, kind, letter }) => {
        const position = at % command.length;
        const before = command.slice(0, position);
        const after = command.slice(kind === 'insert' ? position : position + 1);
        expect(nearest(before + (kind === 'delete' ? '' : letter) + after, commands)).toBe(command);
      }),
    );
  });
});
