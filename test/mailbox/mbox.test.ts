import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MboxSplitter } from '../../src/mailbox/mbox.ts';
import type { MboxPart } from '../../src/mailbox/mbox.ts';
import { mail, mboxOf } from '../support/mailbox-sources.ts';

const FROM = 'From a@example.org Thu Jan  1 00:00:00 2026\n';
const HEADER = 'From: a@example.org\nSubject: it\n\n';

function split(content: string, { pieces = [Infinity], maxBytes = 1_000_000 } = {}): MboxPart[] {
  const splitter = new MboxSplitter({ maxBytes, isDone: () => false });
  const bytes = Buffer.from(content, 'latin1');
  const first = bytes.indexOf('\n') + 1;
  const parts: MboxPart[] = [];
  let at = 0;
  for (let count = 0; at < bytes.length; count += 1) {
    const size = Math.max(pieces[count % pieces.length] ?? Infinity, count === 0 ? first : 1);
    parts.push(...splitter.push(bytes.subarray(at, at + size)));
    at += size;
  }
  return [...parts, ...splitter.end()];
}

function bodies(parts: readonly MboxPart[]): string[] {
  return parts.map((part) => (part.kind === 'body' ? part.body.toString('latin1') : part.kind));
}

const LINES = [
  '',
  'some text',
  'From here on it is text',
  'From a@example.org Thu Jan  1 00:00:00 2026',
  '>From quoted',
  '>>From twice',
  '> From a quotation',
  'To: nobody',
  '>',
  '\u00e9\u0000',
];

const anyMessage = (lineEnd: string): fc.Arbitrary<string> =>
  fc
    .tuple(
      fc.constantFrom('From: a@example.org', 'Subject: it', 'X-Any: thing'),
      fc.array(fc.constantFrom(...LINES), { maxLength: 12 }),
      fc.boolean(),
    )
    .map(([field, lines, hasBody]) =>
      (hasBody ? [field, '', ...lines] : [field]).map((line) => line + lineEnd).join(''),
    );

const anyPieces = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 5 });

describe('an mbox', () => {
  test.each(['\n', '\r\n'])(
    'reads back what was written, in pieces of any size (%j)',
    (lineEnd) => {
      fc.assert(
        fc.property(
          fc.array(anyMessage(lineEnd), { minLength: 1, maxLength: 6 }),
          anyPieces,
          (messages, pieces) => {
            expect(bodies(split(mboxOf(messages, lineEnd), { pieces }))).toEqual(messages);
          },
        ),
        { numRuns: 500 },
      );
    },
  );

  test('takes an unquoted From line for text unless a field follows', () => {
    const message = `${HEADER}One.\n\nFrom here on it goes on.\nAnd on.\n`;
    const content = FROM + message + '\n' + FROM + HEADER + 'Two.\n';
    expect(bodies(split(content))).toEqual([message, `${HEADER}Two.\n`]);
  });

  test('wants a date of all separators when the first bears one', () => {
    const text = '\nFrom the desk of\nSubject: none\n';
    expect(bodies(split(FROM + HEADER + text))).toEqual([HEADER + text]);
    const undated = `From a\n${HEADER}One.\n\nFrom b\n${HEADER}Two.\n`;
    expect(bodies(split(undated))).toEqual([`${HEADER}One.\n`, `${HEADER}Two.\n`]);
  });

  test('takes a separator without a blank line before it only with a full date', () => {
    expect(bodies(split(`${FROM}${HEADER}One.\n${FROM}${HEADER}Two.\n`))).toHaveLength(2);
    const text = `${HEADER}One.\nFrom a at 10:00 in 2026 they said\nSubject: to change.\n`;
    expect(bodies(split(FROM + text))).toEqual([text]);
  });

  test('may begin a header with a quoted From line', () => {
    const content = `${FROM}>From b@example.org\n${HEADER}One.\n\n${FROM}>From c\n${HEADER}Two.\n`;
    expect(bodies(split(content))).toEqual([
      `From b@example.org\n${HEADER}One.\n`,
      `From c\n${HEADER}Two.\n`,
    ]);
  });

  test('takes no endless line for a separator', () => {
    const text = `${HEADER}One.\n\nFrom ${'x'.repeat(5_000)}\nTo: nobody\n`;
    expect(bodies(split(FROM + text, { pieces: [100] }))).toEqual([text]);
  });

  test('drops a message that is over-size, and goes on', () => {
    const large = HEADER + 'x'.repeat(2_000) + '\n';
    const content = mboxOf([mail('one'), large, mail('three')]);
    const parts = split(content, { maxBytes: 500, pieces: [64] });
    expect(parts[1]).toEqual({ kind: 'over-size', number: 2, bytes: large.length });
    expect(bodies(parts)).toEqual([mail('one'), 'over-size', mail('three')]);
  });

  test('keeps a message that just fits', () => {
    const message = mail('one');
    expect(bodies(split(mboxOf([message]), { maxBytes: message.length }))).toEqual([message]);
    expect(bodies(split(mboxOf([message]), { maxBytes: message.length - 1 }))).toEqual([
      'over-size',
    ]);
  });

  test('skips what is no mail between messages', () => {
    const content = `${FROM}${HEADER}One.\n\n${FROM}Note: this\n\nis no mail.\n\n${FROM}${HEADER}`;
    expect(bodies(split(content))).toEqual([`${HEADER}One.\n`, 'not-mail', HEADER.slice(0, -1)]);
  });
});

describe('the last message of an mbox', () => {
  const first = mboxOf([mail('one')]);
  const MULTIPART = 'Content-Type: multipart/mixed;\n\tboundary="=_b"\n';

  test.each([
    ['without the end of its header', 'From: a@example.org\nSubj: x'],
    ['without the end of its header, at a line end', 'From: a@example.org\n'],
    ['short of its Content-Length', `Content-Length: 11\n${mail('two', 'Some text.')}`],
    ['before its last boundary', `${MULTIPART}${mail('two', '--=_b\n\nText.\n--=_b')}`],
  ])('that stops %s is told as cut off', (_name, message) => {
    const parts = split(first + FROM + message);
    expect(parts[1]).toMatchObject({ kind: 'cut-off', number: 2, body: undefined });
    expect(parts).toHaveLength(2);
  });

  test.each([
    ['in the middle of a word', mail('two', 'Some te')],
    ['after a comma', mail('two', 'Some text,')],
  ])('that stops %s is told as perhaps cut off, and is given all the same', (_name, message) => {
    const parts = split(first + FROM + message);
    expect(parts[1]).toMatchObject({ kind: 'cut-off', number: 2, body: Buffer.from(message) });
    expect(parts).toHaveLength(2);
  });

  test.each([
    ['a sentence', mail('two', 'Some text.')],
    ['a bracket', mail('two', '(text)')],
    ['a tag', mail('two', '</html>')],
    ['a quotation in UTF-8', mail('two', 'an \u00e2\u0080\u009eend\u00e2\u0080\u009d')],
    ['its Content-Length', `Content-Length: 7\n${mail('two', 'no stop')}`],
    ['its last boundary', `${MULTIPART}${mail('two', '--=_b\n\nText\n--=_b--')}`],
    ['a line end in the middle of a sentence', mail('two', 'and\n')],
  ])('that ends with %s is whole', (_name, message) => {
    expect(bodies(split(first + FROM + message))).toEqual([mail('one'), message]);
  });

  test('is taken as it is when it is the only one', () => {
    const message = mail('one', 'Some te');
    expect(bodies(split(FROM + message))).toEqual([message]);
  });
});
