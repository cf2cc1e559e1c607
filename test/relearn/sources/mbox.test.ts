import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HEAD_BYTES } from '../../../src/relearn/sources/mail.ts';
import { PathSource } from '../../../src/relearn/sources/path-source.ts';
import type { Found, ReadingOptions } from '../../../src/relearn/sources/source.ts';
import { inPieces, mail, mboxOf, readAll, readingOptions } from '../../support/relearn-sources.ts';

const FROM = 'From a@example.org Thu Jan  1 00:00:00 2026\n';
const HEADER = 'From: a@example.org\nSubject: it\n\n';

async function split(
  content: string,
  pieces: readonly number[] = [64 * 1024],
  options: Partial<ReadingOptions> = {},
): Promise<Found[]> {
  const stdin = (): AsyncIterable<Buffer> => behindHead(content, pieces);
  return readAll(new PathSource('-', 'spam', readingOptions({ stdin, ...options })));
}

/** Blank lines in front: what decides on the form is read at once, and all else comes in pieces. */
async function* behindHead(
  content: string,
  pieces: readonly number[],
): AsyncGenerator<Buffer, void, undefined> {
  yield Buffer.alloc(HEAD_BYTES - 120, '\n');
  yield* inPieces(content, ...pieces);
}

/** The bodies; of what is no message the kind. */
function bodies(found: readonly Found[]): string[] {
  return found.map((each) => (each.kind === 'message' ? each.body.toString('latin1') : each.kind));
}

const SIZES = [1, 2, 3, 7, 13, 31, 64, 100, 500];

/** The same however the content comes, with each of these sizes of pieces. */
async function always(content: string): Promise<string[]> {
  const whole = bodies(await split(content));
  for (const size of SIZES) expect(bodies(await split(content, [size]))).toEqual(whole);
  return whole;
}

const crlf = (text: string): string => text.replaceAll('\n', '\r\n');

const LINES = [
  ...['', 'some text', 'From here on it is text', 'To: nobody', '>', '\u00e9\u0000'],
  ...['From a@example.org Thu Jan  1 00:00:00 2026', '>From quoted', '>>From twice'],
  '> From a quotation',
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
    'reads back as written, in pieces of any size (%j)',
    async (lineEnd) => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(anyMessage(lineEnd), { minLength: 1, maxLength: 6 }),
          anyPieces,
          async (messages, pieces) => {
            expect(bodies(await split(mboxOf(messages, lineEnd), pieces))).toEqual(messages);
          },
        ),
        { numRuns: 300 },
      );
    },
  );

  const text = '\nFrom the desk of\nSubject: none\n';
  const soon = `${HEADER}One.\nFrom a at 10:00 in 2026 they said\nSubject: to change.\n`;
  const endless = `${HEADER}One.\n\nFrom ${'x'.repeat(5_000)}\nTo: nobody\n`;
  const foreign = `${HEADER}One.\n\nFrom here on it goes on.\nAnd on.\n`;

  test.each<[string, string, string[]]>([
    [
      'is text unless a field follows',
      `${FROM}${foreign}\n${FROM}${mail('b')}`,
      [foreign, mail('b')],
    ],
    ['is text without a date where the first one has one', FROM + HEADER + text, [HEADER + text]],
    [
      'needs no date where the first one has none',
      `From a\n${HEADER}One.\n\nFrom b\n${HEADER}Two.\n`,
      [`${HEADER}One.\n`, `${HEADER}Two.\n`],
    ],
    [
      'needs no blank line before it',
      `${FROM}${HEADER}One.\n${FROM}${HEADER}Two.\n`,
      [`${HEADER}One.\n`, `${HEADER}Two.\n`],
    ],
    ['is text without a blank line before a date in its middle', FROM + soon, [soon]],
    [
      'may be quoted in front of a header',
      `${FROM}>From b@example.org\n${HEADER}One.\n\n${FROM}>From c\n${HEADER}Two.\n`,
      [`From b@example.org\n${HEADER}One.\n`, `From c\n${HEADER}Two.\n`],
    ],
    ['is text when it never ends', FROM + endless, [endless]],
    [
      'separates what is no mail, too',
      `${FROM}${HEADER}One.\n\n${FROM}Note: this\n\nis no mail.\n\n${FROM}${HEADER}`,
      [`${HEADER}One.\n`, 'skipped', HEADER.slice(0, -1)],
    ],
  ])('whose From line %s', async (_name, content, expected) => {
    expect(await always(content)).toEqual(expected);
  });

  test('goes on after a message that is over-size; one that just fits is kept', async () => {
    const large = `${HEADER}${'x'.repeat(20_000)}\n`;
    const content = mboxOf([mail('one'), large, mail('three')]);
    for (const size of [64, 9_000, 64 * 1024]) {
      const found = await split(content, [size], { maxBytes: large.length - 1 });
      expect(bodies(found)).toEqual([mail('one'), 'failed', mail('three')]);
      expect(found[1]).toMatchObject({
        place: '-#2',
        reason: expect.stringContaining(`${large.length} bytes`) as string,
      });
      const fits = await split(content, [size], { maxBytes: large.length });
      expect(bodies(fits)).toEqual([mail('one'), large, mail('three')]);
    }
  });
});

describe.each([
  ['LF', '\n'],
  ['CRLF', '\r\n'],
])('a bare From_ line, as Thunderbird writes it since version 115 (%s)', (_name, lineEnd) => {
  const BARE = 'From \n';
  const old = (subject: string): string => `From - Mon Sep 01 10:00:01 2022\n${mail(subject)}\n`;
  const newer = (...subjects: readonly string[]): string =>
    subjects.map((each) => BARE + mail(each)).join('');

  test.each([
    ['after dated ones', old('a') + old('b') + newer('d', 'e', 'f'), 'abdef'],
    ['without a blank line before it', newer('a', 'b', 'c'), 'abc'],
    ['without one after a dated one', old('a').slice(0, -1) + newer('b'), 'ab'],
    ['only where a field follows', BARE + mail('a', `${BARE}\n${BARE}a text\n\n${BARE}`), 'a'],
    ['not with a word behind "From"', old('a') + mail('b', 'From x\nTo: y\n'), 'a'],
  ])('separates %s', async (_case, content, subjects) => {
    const all = await always(content.replaceAll('\n', lineEnd));
    expect(all.map((body) => /^Subject: (.*?)\r?$/m.exec(body)?.[1]).join('')).toBe(subjects);
  });
});

test("git's From_ line separates the patches of a series, and is text in a message", async () => {
  const git = `From ${'0123456789abcdef'.repeat(3).slice(0, 40)} Mon Sep 17 00:00:00 2001\n`;
  const patch = `${git}From: A <a@example.org>\nDate: Mon, 1 Sep 2025 10:00:00 +0200\nSubject: [PATCH] it\n\nText.\n`;
  expect(await always(`${patch}\n${patch}\n${patch}`)).toHaveLength(3);
  for (const gap of ['', '\n']) {
    const content = `${FROM}${mail('one', `See:\n${gap}${patch}`)}\n${FROM}${mail('two')}`;
    expect(await always(content)).toHaveLength(2);
  }
});

describe('Content-Length', () => {
  const trap = `Here it is:\n\n${FROM}Subject: quoted by nobody\n\nInside.\n`;
  const declaring = (length: number, body: string): string =>
    `Content-Length: ${length}\n${mail('one', body)}`;
  const after = `\n${FROM}${mail('two')}`;

  test.each([0, 1])('that counts its text and %i more, a blank line, is believed', async (more) => {
    const one = declaring(trap.length + more, trap);
    expect(await always(FROM + one + after)).toEqual([one, mail('two')]);
    // up to the end of the file, too
    for (const end of ['', '\n']) {
      const last = declaring(trap.length, trap);
      expect(await always(`${FROM}${mail('two')}\n${FROM}${last}${end}`)).toEqual([
        mail('two'),
        last,
      ]);
    }
  });

  test.each([-2, -1, 2, 3, 100, 5_000, 999_999_999])(
    'that is wrong by %i is not',
    async (wrong) => {
      expect(await always(FROM + declaring(trap.length + wrong, trap) + after)).toHaveLength(3);
      expect(await always(FROM + declaring(trap.length + wrong, 'Text.\n') + after)).toHaveLength(
        2,
      );
    },
  );

  test('of CRLF lines is right or wrong like any other', async () => {
    const right = crlf(FROM + declaring(crlf(trap).length, trap) + after);
    expect(await always(right)).toHaveLength(2);
    expect(await always(crlf(FROM + declaring(trap.length, trap) + after))).toHaveLength(3);
  });

  test('leads past many separators, each of which has a length of its own', async () => {
    const inner = Array.from({ length: 50 }, (_, index) => {
      const text = `Text ${index}.\n`;
      return `${FROM}Content-Length: ${text.length}\n${mail(`inner ${index}`, text)}\n`;
    }).join('');
    const one = declaring(inner.length, inner);
    expect(await always(FROM + one + after)).toEqual([one, mail('two')]);
  });

  test('that leads beyond the largest message is not waited for', async () => {
    let pieces = 0;
    async function* stdin(): AsyncGenerator<Buffer, void, undefined> {
      yield* inPieces(FROM + declaring(2_000_000, trap) + after, 50);
      for (; pieces < 1_000; pieces += 1) yield await Promise.resolve(Buffer.alloc(1_000, 'x'));
    }
    await new PathSource('-', 'spam', readingOptions({ stdin })).read().next();
    expect(pieces).toBeLessThan(100);
  });

  test('that leads to a separator by chance is not believed after many that were wrong', async () => {
    const one = (index: number, more: number): string => {
      const text = `Text ${index}.\n`;
      return `${FROM}Content-Length: ${text.length + more}\n${mail(`${index}`, text)}\n`;
    };
    const wrong = Array.from({ length: 20 }, (_, index) => one(index, 700)).join('');
    const last = one(98, 0);
    const chance = one(99, last.length) + last + one(97, 0);
    expect(await always(chance)).toHaveLength(2);
    expect(await always(wrong + chance)).toHaveLength(23);
  });

  test('of a message that is done already is believed as well', async () => {
    const isDone = (place: string): boolean => place === '-';
    const content = FROM + declaring(trap.length, trap) + after;
    expect(bodies(await split(content, [50], { isDone }))).toEqual(['done', mail('two')]);
  });
});

describe('a message that was deleted', () => {
  test.each([
    ['Thunderbird: expunged', 'X-Mozilla-Status', '0009'],
    ['Thunderbird: expunged and read no more', 'X-Mozilla-Status', '0008'],
    ['Thunderbird: deleted on the IMAP server', 'X-Mozilla-Status2', '00200000'],
    ['UW IMAP and Dovecot', 'X-Status', 'AD'],
    ['mailx', 'Status', 'ROD'],
    ['Evolution', 'X-Evolution', '0000001a-0012'],
  ])('is passed over, and counted (%s)', async (_name, field, value) => {
    for (const line of [`${field}: ${value}`, `${field.toLowerCase()}:${value}`]) {
      const content = mboxOf([mail('one'), `${line}\n${mail('two')}`, mail('three')]);
      for (const each of [content, crlf(content)]) {
        const found = await split(each);
        expect(found.map(({ kind, place }) => `${kind} ${place}`)).toEqual([
          'message -',
          'passed -#2',
          'message -#3',
        ]);
        expect(found[1]).toMatchObject({ reason: `deleted (${field})` });
      }
    }
  });

  test('is none that says something like it, or whose text does', async () => {
    const fields = [
      ...['X-Mozilla-Status: 0001', 'X-Mozilla-Status: 1000', 'X-Mozilla-Status: nonsense'],
      ...['X-Mozilla-Status2: 00000008', 'Status: RO', 'X-Status: AF', 'X-Delivery-Status: D'],
      ...['X-Spam-Status: No, score=0 autolearn=disabled TEST=DD', 'X-Evolution: 0000001a-0010'],
    ];
    const messages = [
      ...fields.map((field) => `${field}\n${mail('one')}`),
      mail('one', 'X-Status: D\nX-Mozilla-Status: 0008\n'),
    ];
    expect(bodies(await split(mboxOf(messages)))).toEqual(messages);
  });
});

test("the mail folder's own first message is passed over, and nothing like it", async () => {
  const subject = "DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA";
  const internal = `X-IMAP: 1756713600 0000000004\n${mail(subject)}`;
  const based = mail(subject).replace('Subject', 'X-IMAPbase: 1756713600 4\nSubject');
  const received = `Received: from x by y; Mon, 1 Sep 2025 10:00:00 +0200\n${internal}`;
  const ordinary = `X-IMAPbase: 1756713600 4\n${mail('one')}`;
  const messages = [internal, ordinary, based, mail(subject), mail(`Re: ${subject}`), received];
  const kinds = (await split(mboxOf(messages))).map(({ kind }) => kind.charAt(0)).join('');
  expect(kinds).toBe('pmpmmm');
});
