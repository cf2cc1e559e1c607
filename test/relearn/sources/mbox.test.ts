import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MboxSplitter } from '../../../src/relearn/sources/mbox.ts';
import type { MboxPart } from '../../../src/relearn/sources/mbox.ts';
import { mboxDialect } from '../../../src/relearn/sources/separator.ts';
import { mail, mboxOf } from '../../support/relearn-sources.ts';

const FROM = 'From a@example.org Thu Jan  1 00:00:00 2026\n';
const HEADER = 'From: a@example.org\nSubject: it\n\n';

function split(content: string, { pieces = [Infinity], maxBytes = 1_000_000 } = {}): MboxPart[] {
  const headerAt = content.indexOf('\n') + 1;
  const dialect = mboxDialect(content.slice(0, headerAt - 1));
  const splitter = new MboxSplitter({ dialect, maxBytes, isDone: () => false });
  const bytes = Buffer.from(content, 'latin1');
  const parts: MboxPart[] = [];
  let at = headerAt;
  for (let count = 0; at < bytes.length; count += 1) {
    const size = pieces[count % pieces.length] ?? Infinity;
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

const EVERY_PIECE = Array.from({ length: 120 }, (_, index) => index + 1);

/** The same however the content comes, with each of these sizes of pieces. */
function always(content: string, pieces: readonly number[] = EVERY_PIECE): string[] {
  const whole = bodies(split(content));
  for (const size of pieces) {
    expect(bodies(split(content, { pieces: [size] }))).toEqual(whole);
  }
  return whole;
}

describe.each([
  ['LF', '\n'],
  ['CRLF', '\r\n'],
])('a bare From_ line, as Thunderbird writes it since version 115 (%s)', (_name, lineEnd) => {
  const BARE = 'From \n';
  const old = (subject: string): string => `From - Mon Sep 01 10:00:01 2022\n${mail(subject)}\n`;
  const at = (content: string): string[] =>
    always(content.replaceAll('\n', lineEnd)).map(
      (body) => /^Subject: (.*?)\r?$/m.exec(body)?.[1] ?? body,
    );

  test('separates after dated ones, too', () => {
    const newer = ['d', 'e', 'f'].map((each) => `${BARE}${mail(each)}\n`).join('');
    expect(at(old('a') + old('b') + newer)).toEqual(['a', 'b', 'd', 'e', 'f']);
  });

  test('separates without a blank line before it', () => {
    const content = ['a', 'b', 'c'].map((each) => BARE + mail(each)).join('');
    expect(at(content)).toEqual(['a', 'b', 'c']);
    expect(at(old('a').slice(0, -1) + content)).toEqual(['a', 'a', 'b', 'c']);
  });

  test('separates only where a field follows', () => {
    const content = BARE + mail('a', `${BARE}\n${BARE}a text\n\n${BARE}`);
    expect(at(content)).toEqual(['a']);
    // "From" and a word is another line.
    expect(at(old('a') + mail('b', 'From x\nTo: y\n'))).toEqual(['a']);
  });
});

describe("git's From_ line", () => {
  const GIT = `From ${'0123456789abcdef'.repeat(3).slice(0, 40)} Mon Sep 17 00:00:00 2001\n`;
  const patch = `${GIT}From: A <a@example.org>\nDate: Mon, 1 Sep 2025 10:00:00 +0200\nSubject: [PATCH] it\n\nText.\n`;

  test('is text in a message', () => {
    for (const gap of ['', '\n']) {
      const content = FROM + mail('one', `See:\n${gap}${patch}`) + `\n${FROM}${mail('two')}`;
      expect(always(content)).toHaveLength(2);
    }
  });

  test('separates the patches of a series', () => {
    expect(always(`${patch}\n${patch}\n${patch}`)).toHaveLength(3);
  });
});

describe('Content-Length', () => {
  const trap = `Here it is:\n\n${FROM}Subject: quoted by nobody\n\nInside.\n`;
  const declaring = (length: number, body: string): string =>
    `Content-Length: ${length}\n${mail('one', body)}`;
  const after = `\n${FROM}${mail('two')}`;

  test.each([
    ['its text', 0],
    ['its text and the blank line after it', 1],
  ])('that counts %s is believed', (_name, more) => {
    const one = declaring(trap.length + more, trap);
    expect(always(FROM + one + after)).toEqual([one, mail('two')]);
  });

  test('is believed up to the end of the file', () => {
    for (const end of ['', '\n']) {
      const one = declaring(trap.length, trap);
      expect(always(FROM + mail('two') + '\n' + FROM + one + end)).toEqual([mail('two'), one]);
    }
  });

  test.each([-2, -1, 2, 3, 100, 5_000, 999_999_999])('that is wrong by %i is not', (wrong) => {
    expect(always(FROM + declaring(trap.length + wrong, trap) + after)).toHaveLength(3);
    expect(always(FROM + declaring(trap.length + wrong, 'Text.\n') + after)).toHaveLength(2);
  });

  test('of CRLF lines is right or wrong like any other', () => {
    const crlf = (text: string): string => text.replaceAll('\n', '\r\n');
    const right = crlf(FROM + declaring(crlf(trap).length, trap) + after);
    expect(always(right)).toHaveLength(2);
    expect(always(crlf(FROM + declaring(trap.length, trap) + after))).toHaveLength(3);
  });

  test('leads past many separators, each of which has a length of its own', () => {
    const inner = Array.from({ length: 50 }, (_, index) => {
      const text = `Text ${index}.\n`;
      return `${FROM}Content-Length: ${text.length}\n${mail(`inner ${index}`, text)}\n`;
    }).join('');
    const one = declaring(inner.length, inner);
    expect(always(FROM + one + after, [1, 7, 64, 1_000])).toEqual([one, mail('two')]);
  });

  test('that leads beyond the largest message is not waited for', () => {
    const one = declaring(2_000_000, trap);
    const splitter = new MboxSplitter({
      dialect: mboxDialect(FROM.trimEnd()),
      maxBytes: 1_000_000,
      isDone: () => false,
    });
    expect(splitter.push(Buffer.from(one + after))).not.toHaveLength(0);
  });

  test('that leads to a separator by chance is not believed after many that were wrong', () => {
    const one = (index: number, more: number): string => {
      const text = `Text ${index}.\n`;
      return `${FROM}Content-Length: ${text.length + more}\n${mail(`${index}`, text)}\n`;
    };
    const wrong = Array.from({ length: 20 }, (_, index) => one(index, 700)).join('');
    const last = one(98, 0);
    const chance = one(99, last.length) + last + one(97, 0);
    expect(always(chance)).toHaveLength(2);
    expect(always(wrong + chance, [13, 500])).toHaveLength(23);
  });

  test('of a message that is done already is believed as well', () => {
    const one = declaring(trap.length, trap);
    const dialect = mboxDialect(FROM.trimEnd());
    const options = { dialect, maxBytes: 1_000_000, isDone: (number: number) => number === 1 };
    const splitter = new MboxSplitter(options);
    const parts = [...splitter.push(Buffer.from(one + after)), ...splitter.end()];
    expect(bodies(parts)).toEqual(['done', mail('two')]);
  });
});

describe('a message that was deleted', () => {
  test.each([
    ['Thunderbird: expunged', 'X-Mozilla-Status: 0009'],
    ['Thunderbird: expunged and read no more', 'x-mozilla-status:0008'],
    ['Thunderbird: deleted on the IMAP server', 'X-Mozilla-Status2: 00200000'],
    ['UW IMAP and Dovecot', 'X-Status: AD'],
    ['mailx', 'Status: ROD'],
    ['Evolution', 'X-Evolution: 0000001a-0012'],
  ])('is passed over, and counted (%s)', (_name, field) => {
    for (const lineEnd of ['\n', '\r\n']) {
      const messages = [mail('one'), `${field}\n${mail('two')}`, mail('three')];
      const content = mboxOf(messages).replaceAll('\n', lineEnd);
      const parts = split(content);
      expect(parts.map(({ kind, number }) => `${number} ${kind}`)).toEqual([
        '1 body',
        '2 passed',
        '3 body',
      ]);
      expect(parts[1]).toMatchObject({ reason: `deleted (${nameOf(field)})` });
    }
  });

  test.each([
    'X-Mozilla-Status: 0001',
    'X-Mozilla-Status: 1000',
    'X-Mozilla-Status: nonsense',
    'X-Mozilla-Status2: 00000008',
    'Status: RO',
    'X-Status: AF',
    'X-Spam-Status: No, score=0 autolearn=disabled TEST=DD',
    'X-Evolution: 0000001a-0010',
    'X-Delivery-Status: D',
  ])('is none that says %s', (field) => {
    expect(split(mboxOf([`${field}\n${mail('one')}`]))[0]).toMatchObject({ kind: 'body' });
  });

  test('is none whose text says so', () => {
    const message = mail('one', 'X-Status: D\nX-Mozilla-Status: 0008\n');
    expect(bodies(split(mboxOf([message])))).toEqual([message]);
  });
});

test("the mail folder's own first message is passed over, and nothing like it", () => {
  const subject = "DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA";
  const internal = `X-IMAP: 1756713600 0000000004\n${mail(subject)}`;
  const based = mail(subject).replace('Subject', 'X-IMAPbase: 1756713600 4\nSubject');
  const received = `Received: from x by y; Mon, 1 Sep 2025 10:00:00 +0200\n${internal}`;
  const ordinary = `X-IMAPbase: 1756713600 4\n${mail('one')}`;
  const messages = [internal, ordinary, based, mail(subject), mail(`Re: ${subject}`), received];
  expect(split(mboxOf(messages)).map(({ kind }) => kind)).toEqual([
    'passed',
    'body',
    'passed',
    'body',
    'body',
    'body',
  ]);
});

function nameOf(field: string): string {
  const name = field.slice(0, field.indexOf(':'));
  return name === name.toLowerCase() ? 'X-Mozilla-Status' : name;
}

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
