import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HEAD_BYTES } from '../../../src/relearn/sources/mail.ts';
import type { Found, ReadingOptions } from '../../../src/relearn/sources/source.ts';
import { PathSource } from '../../../src/relearn/sources/path-source.ts';
import {
  inPieces,
  mail,
  mboxOf,
  putIn,
  readAll,
  readingOptions,
  readStdin,
} from '../../support/relearn-sources.ts';
import { temporaryFolder } from '../../support/temporary.ts';

const FROM = 'From a@example.org Thu Jan  1 00:00:00 2026\n';
const HEADER = 'From: a@example.org\nSubject: it\n\n';

async function split(
  content: string,
  pieces: readonly number[] = [64 * 1024],
  options: Partial<ReadingOptions> = {},
): Promise<Found[]> {
  return readStdin(behindHead(content, pieces), options);
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

/** The same however the content comes, with each of these sizes of pieces. */
async function always(content: string): Promise<string[]> {
  const whole = bodies(await split(content));
  for (const size of [1, 2, 3, 7, 31, 100, 500]) {
    expect(bodies(await split(content, [size]))).toEqual(whole);
  }
  return whole;
}

const LINES = [
  ...['', 'some text', 'From here on it is text', 'To: nobody', '>', '\u00e9\u0000'],
  ...['From a@example.org Thu Jan  1 00:00:00 2026', '>From quoted', '>>From twice'],
  '> From a quotation',
];

const anyMessage = fc
  .tuple(
    fc.constantFrom('From: a@example.org', 'Subject: it', 'X-Any: thing'),
    fc.array(fc.constantFrom(...LINES), { maxLength: 12 }),
    fc.boolean(),
  )
  .map(([field, lines, hasBody]) => `${(hasBody ? [field, '', ...lines] : [field]).join('\n')}\n`);
const anyMessages = fc.array(anyMessage, { minLength: 1, maxLength: 6 });
const anyPieces = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 5 });
const crlf = (text: string): string => text.replaceAll('\n', '\r\n');

describe('an mbox', () => {
  test('reads back as written, in pieces of any size', async () => {
    const anyBox = fc.asyncProperty(anyMessages, anyPieces, async (messages, pieces) => {
      const box = mboxOf(messages);
      expect(bodies(await split(box, pieces))).toEqual(messages);
      expect(bodies(await split(crlf(box), pieces))).toEqual(messages.map(crlf));
    });
    await fc.assert(anyBox, { numRuns: 200 });
  });

  const BARE = 'From \n';
  const text = '\nFrom the desk of\nSubject: none\n';
  const dateInside = `${HEADER}One.\nFrom a at 10:00 in 2026 they said\nSubject: to change.\n`;
  const endless = `${HEADER}One.\n\nFrom ${'x'.repeat(5_000)} 00:00:00 2026\nTo: nobody\n`;
  const foreign = `${HEADER}One.\n\n${FROM}And on.\n`;

  test.each<[string, string, string[]]>([
    ['no field follows', `${FROM}${foreign}\n${FROM}${mail('b')}`, [foreign, mail('b')]],
    ['has no date, and the first one has', FROM + HEADER + text, [HEADER + text]],
    ['has its date in its middle', FROM + dateInside, [dateInside]],
    ['never ends', FROM + endless, [endless]],
    [
      'is bare, without a field after it',
      `${BARE}${HEADER}${BARE}a text\n`,
      [`${HEADER}${BARE}a text\n`],
    ],
  ])('keeps as text a From_ line that %s', async (_name, content, expected) => {
    expect(await always(content)).toEqual(expected);
  });

  test.each<[string, string, string[]]>([
    [
      'without dates',
      `From a\n${HEADER}One.\n\nFrom b\n${HEADER}Two.\n`,
      [`${HEADER}One.\n`, `${HEADER}Two.\n`],
    ],
    [
      'with no blank line before them',
      `${FROM}${HEADER}One.\n${FROM}${HEADER}Two.\n${BARE}${HEADER}Three.\n`,
      [`${HEADER}One.\n`, `${HEADER}Two.\n`, `${HEADER}Three.\n`],
    ],
    [
      'with a quoted one behind them',
      `${FROM}>From b@example.org\n${HEADER}One.\n\n${FROM}>From c\n${HEADER}Two.\n`,
      [`From b@example.org\n${HEADER}One.\n`, `From c\n${HEADER}Two.\n`],
    ],
    [
      'around what is no mail',
      `${FROM}${HEADER}One.\n\n${FROM}Note: this\n\nis no mail.\n\n${FROM}${HEADER}`,
      [`${HEADER}One.\n`, 'notMail', HEADER.slice(0, -1)],
    ],
    [
      'that are bare, as Thunderbird writes them since version 115',
      `From - Mon Sep 01 10:00:01 2022\n${mail('a')}\n${BARE}${mail('b')}${BARE}${mail('c')}`,
      [mail('a'), mail('b'), mail('c')],
    ],
  ])('is split at From_ lines %s', async (_name, content, expected) => {
    expect(await always(content)).toEqual(expected);
    expect(await always(crlf(content))).toEqual(expected.map(crlf));
  });

  /** As Dovecot writes it, or with another length than the body's. */
  const stating = (body: string, length = body.length): string =>
    `Content-Length: ${length}\n${HEADER}${body}`;
  const quoting = `One.\n\n${FROM}Subject: quoted\n\nTwo.\n`;

  test.each<[string, string, readonly string[]]>([
    [
      'at a separator',
      `${FROM}${stating(quoting)}\n${FROM}${mail('b')}`,
      [stating(quoting), mail('b')],
    ],
    [
      'at a separator without a blank line before it',
      `${FROM}${stating(quoting)}${FROM}${mail('b')}`,
      [stating(quoting), mail('b')],
    ],
    ['with the file', FROM + stating(quoting), [stating(quoting)]],
    ['with the file and a blank line', `${FROM}${stating(quoting)}\n`, [stating(quoting)]],
  ])('believes a Content-Length that ends %s', async (_name, content, expected) => {
    expect(await always(content)).toEqual(expected);
  });

  test.each<[string, number]>([
    ['too short', 3],
    ['too long', quoting.length + 5],
    ['longer than the file', 100_000],
    ['larger than any message may be', 2 ** 40],
  ])('leaves aside a Content-Length that is %s', async (_name, length) => {
    const [first = '', second] = stating(quoting, length).split(`\n${FROM}`);
    const content = `${FROM}${stating(quoting, length)}\n${FROM}${mail('b')}`;
    expect(await always(content)).toEqual([first, second, mail('b')]);
  });

  test('goes on after a message that is over-size; one that just fits is kept', async () => {
    const large = `${HEADER}${'x'.repeat(20_000)}\n`;
    const content = mboxOf([mail('one'), large, mail('three')]);
    for (const size of [64, 9_000, 64 * 1024]) {
      const found = await split(content, [size], { maxBytes: large.length - 1 });
      expect(bodies(found)).toEqual([mail('one'), 'failed', mail('three')]);
      expect(found[1]).toMatchObject({ place: '-#2' });
      const fits = await split(content, [size], { maxBytes: large.length });
      expect(bodies(fits)).toEqual([mail('one'), large, mail('three')]);
    }
  });
});

test('what a mail folder has no more, or for itself, is passed over; nothing like it', async () => {
  const internal = "Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA";
  const passed = [
    ...['X-Mozilla-Status: 0009', 'x-mozilla-status2:00200000', 'X-Status: AD', 'Status: ROD'],
    `X-IMAP: 1756713600 0000000004\n${internal}`,
  ];
  const kept = [
    ...['X-Mozilla-Status: 0001', 'X-Mozilla-Status: 1000', 'X-Mozilla-Status: nonsense'],
    ...['X-Mozilla-Status2: 00000008', 'Status: RO', 'X-Status: AF', 'X-Delivery-Status: D'],
    ...['X-Spam-Status: No, score=0 autolearn=disabled TEST=DD', 'X-IMAPbase: 1 4', internal],
  ].map((field) => `${field}\n${mail('one', 'X-Status: D\n')}`);
  const messages = [...passed.map((field) => `${field}\n${mail('one')}`), ...kept];
  const found = await split(mboxOf(messages));
  expect(bodies(found)).toEqual([...passed.map(() => 'passedOver'), ...kept]);
  expect(found[2]).toMatchObject({ place: '-#3', reason: 'deleted (X-Status)' });
});

test('which mail folders a message was in is told by the labels of an export from Gmail', async () => {
  const own = 'X-GM-THRID: 18\nX-Gmail-Labels: ';
  const labelled: readonly (readonly [fields: string, use?: string])[] = [
    [`${own}Inbox,Opened`],
    [`${own}Spam,Unread`, 'a junk folder'],
    [`${own}=?UTF-8?Q?Papierkorb,Ge=C3=B6ffnet?=`, 'a folder of deleted messages'],
    [`${own}=?UTF-8?Q?"Ge=C3=B6ffnet",?=\n =?UTF-8?Q?Entw=C3=BCrfe?=`, 'a folder of drafts'],
    [`${own}"Spam, I think",Sent`],
    [`Received: by x\n${own}Spam`],
  ];
  const box = putIn(
    temporaryFolder(),
    'All mail.mbox',
    mboxOf(labelled.map(([fields]) => `${fields}\n${mail('a')}`)),
  );
  const found = await readAll(new PathSource(box, 'ham', readingOptions()));
  expect(found.map((each) => ('reason' in each ? each.reason : undefined))).toEqual(
    labelled.map(([, use]) => use && `${use}, which holds no ham (X-Gmail-Labels)`),
  );
});
