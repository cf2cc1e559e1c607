import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { clean, plural, wrap } from '../src/text.ts';

test.each(['', 'plain text', 'Grüße aus Köln', '日本語', 'a <b> "c" \\d %e', 'a😀b'])(
  'clean leaves ordinary text as it is: %s',
  (text) => expect(clean(text)).toBe(text),
);

test.each([
  ['a line break', 'a\nb', 'a?b'],
  ['an escape sequence', '\x1b[31mred', '?[31mred'],
  ['DEL', 'a\x7fb', 'a?b'],
  ['a C1 control', 'a\x9bb', 'a?b'],
  ['a line separator', 'a\u2028b', 'a?b'],
  ['text that is turned round', 'a\u202eb', 'a?b'],
  ['a bidi isolate', 'a\u2066b', 'a?b'],
  ['a zero-width joiner', 'a\u200db', 'a?b'],
  ['a byte order mark', '\ufeffa', '?a'],
  ['half a surrogate pair', 'a\ud800b', 'a?b'],
  ['what is too long', 'x'.repeat(201), `${'x'.repeat(199)}…`],
])('clean replaces %s', (_, text, expected) => expect(clean(text)).toBe(expected));

test('clean never returns anything unfit or too long, whatever it is given', () => {
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

test('plural puts a count and its noun together', () => {
  const told = [0, 1, 2].map((count) => plural(count, 'message'));
  expect(told).toEqual(['0 messages', '1 message', '2 messages']);
});

test('wrap breaks between words, and leaves out the blanks that stand there', () => {
  expect(wrap('one two   three', 8, '  ')).toBe('one two\n  three');
  expect(wrap('  one two', 5, '    ')).toBe('  one\n    two');
  expect(wrap('a  b', 80)).toBe('a  b');
  expect(wrap('unbreakable', 4)).toBe('unbreakable');
});

test('the program prints no apostrophe that a terminal without UTF-8 lacks', () => {
  const source = new URL('../src/', import.meta.url);
  const files = readdirSync(source, { recursive: true, encoding: 'utf8' });
  const texts = files.filter((file) => file.endsWith('.ts'));
  expect(texts.length).toBeGreaterThan(50);
  expect(
    texts.filter((file) => /[‘’“”]/.test(readFileSync(new URL(file, source), 'utf8'))),
  ).toEqual([]);
});
