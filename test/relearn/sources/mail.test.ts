import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { Found } from '../../../src/relearn/sources/source.ts';
import {
  bodiesOf,
  inPieces,
  mail,
  mboxOf,
  putIn,
  readAll,
  readStdin,
  sourceAt,
  told,
} from '../../support/relearn-sources.ts';
import { temporaryFolder } from '../../support/temporary.ts';

/** What is mail, and in which forms. */

const read = (content: string | Buffer): Promise<Found[]> => readStdin(inPieces(content, 100));

const crlf = (text: string): string => text.replaceAll('\n', '\r\n');

test.each([
  ['a message', mail('one')],
  ['a header that never ends', 'Subject: one\n'],
  ['a known field among unknown ones', 'Foo: 1\nBar: 2\n folded\nX-Spam: yes\n\n'],
  ['field names in any case', 'RECEIVED : by x\n\n'],
  ['NUL bytes in its text', `${mail('one')}\u0000`],
  ['a field that doveadm writes, too', `text: a field\n${mail('one')}`],
])('mail is %s', async (_name, content) => {
  expect(bodiesOf(await read(content))).toEqual([content]);
});

test('mail may begin with blank lines, a byte order mark and a From_ line', async () => {
  const message = mail('one');
  const mark = Buffer.from('\ufeff').toString('latin1');
  const dated = 'From a Thu Jan  1 00:00:00 2026\n';
  for (const lead of ['\n\r\n', mark, `${mark}From a\n`, '\nFrom a\n', dated]) {
    expect(bodiesOf(await read(lead + message))).toEqual([message]);
  }
});

test.each([
  ['nothing', '', 'empty'],
  ['blank lines', '\n\n\n'],
  ['text', 'Dear reader,\n\nSubject: to change\n'],
  ['text that begins like an mbox', 'From the beginning\nthere was text.\n'],
  ['fields of no message', 'Name: x\nVersion: 1\n\nSubject: below\n'],
  ['a PNG', '\u0089PNG\r\n\u001a\n'],
  ['binary with a colon', 'X-a:\u0000\nSubject: x\n\n'],
  ['a tar archive', `a.eml${'\0'.repeat(252)}ustar`, 'a tar archive: unpack it first (tar -xf)'],
  ['a shell script', '#!/bin/sh\nSubject: x\n'],
  ['a From_ line alone', 'From a@example.org Thu Jan  1 00:00:00 2026'],
  ['texts that begin like packed mail', 'BZh is short\n2 More\n'],
])('%s is no mail', async (_name, content, reason = 'not a mail message') => {
  expect(told(await read(content))).toEqual([`failed -: ${reason}`]);
});

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');
const DOVEADM = 'doveadm fetch -u USER "uid text" mailbox FOLDER';

// The first bytes of Dovecot's are what 2.3.19 and 2.4.1 wrote.
test.each<[string, string | Buffer, string]>([
  ['lz4 of Dovecot', 'Dovecot-LZ4\r*\u009b\u00c5\0-Return-Path: <a@x>\nSubject: c\n', DOVEADM],
  ['mail_crypt', 'CRYPTED\u0003\u0007\u0002\0\0\0', DOVEADM],
  ['dbox', '2 M1e C6b0bdca5\n\u0001\u0002N          0000000000000020\nFrom: a@x\n', DOVEADM],
  ['doveadm fetch hdr', 'hdr:\nFrom: a@example.org\nSubject: one\n\nhdr:\n', DOVEADM],
  ['doveadm fetch "uid flags text"', `uid: 1\nflags: \\Seen\ntext:\n${mail('one')}`, DOVEADM],
  ['bzip2', 'BZh91AY&SYI\u000by\u009d\0\0', 'bzcat FILE . kopano-learnd relearn --spam -'],
  ['xz', '\u00fd7zXZ\0\0\u0004\u00e6\u00d6', 'xzcat'],
  ['lz4', Buffer.from('04224d186440a71f000080', 'hex'), 'lz4cat'],
  ['PST', '!BDN\u00aa\u00bb\u00cc\u00dd', 'readpst -e -o DIR FILE'],
  [
    'MSG',
    Buffer.concat([
      latin1(`\u00d0\u00cf\u0011\u00e0\u00a1\u00b1\u001a\u00e1${'\0'.repeat(1_000)}`),
      Buffer.from('__substg1.0_0037001F', 'utf16le'),
    ]),
    'msgconvert FILE',
  ],
  ['packed twice', gzipSync(gzipSync(mail('one'))), 'zcat'],
])('%s fails, alone and beside messages, told with what opens it', async (_, content, cure) => {
  const failed = expect.stringMatching(new RegExp(`^failed .: .*${cure}`)) as string;
  expect(told(await read(content))).toEqual([failed]);
  const folder = temporaryFolder();
  putIn(folder, 'a', content);
  putIn(folder, 'b', mail('b'));
  const beside = await readAll(sourceAt(folder));
  expect(told(beside, folder)).toEqual([failed, 'message b b']);
});

test('what doveadm fetch "uid text" prints is taken apart, whatever the texts say', async () => {
  const odd = mail('odd', 'text:\n\nuid: 1\ntext:\n\n>From x\n\f\nFrom a\nSubject: text:\n');
  const messages = [odd, mail('two', 'No line end.'), `X-Status: D\n${mail('three')}`];
  const content = messages.map((each, at) => `uid: ${at}\ntext:\n${each}`).join('\f\n');
  expect(bodiesOf(await read(content))).toEqual(messages);
});

const BOUNDARY = '----------=_68B5A1C2.3D4E5F60';

/** As SpamAssassin 3 and 4 write it with `report_safe 1` (message/rfc822) or `2` (text/plain). */
function wrapped(original: string, type = 'message/rfc822'): string {
  return `Received: from localhost by mx.example.org
\twith SpamAssassin (version 4.0.0);
\tMon, 01 Sep 2025 10:00:00 +0200
From: A <a@example.org>
Subject: *****SPAM***** it
X-Spam-Flag: YES
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="${BOUNDARY}"

This is a multi-part message in MIME format.

--${BOUNDARY}
Content-Type: text/plain; charset=UTF-8

Spam detection software has identified this incoming email as possible spam.

--${BOUNDARY}
Content-Type: ${type}; x-spam-type=original
Content-Description: original message before SpamAssassin

${original}
--${BOUNDARY}--

`;
}

describe('a message that SpamAssassin has wrapped', () => {
  const original = mail('one', 'Some text.\n\n--\nA signature\n');

  test('is taught as it was', async () => {
    for (const content of [wrapped(original), wrapped(original, 'text/plain')]) {
      expect(bodiesOf(await read(content))).toEqual([original]);
      expect(bodiesOf(await read(crlf(content)))).toEqual([crlf(original)]);
    }
    const found = await read(mboxOf([mail('a'), wrapped(original)]));
    expect(bodiesOf(found)).toEqual([mail('a'), original]);
  });

  test.each([
    ['without the end of what it holds', wrapped(original).replace(`--${BOUNDARY}--`, '')],
    ['that quotes its words', mail('one', 'Content-Type: a/b; x-spam-type=original\n')],
    ['that holds another part', wrapped(original).replace('; x-spam-type=original', '')],
    ['without mail inside', wrapped('no header\n')],
    ['with its words in another part', wrapped(original).replace('; x-spam', '\n\n; x-spam')],
  ])('is none %s', async (_name, content) => {
    expect(bodiesOf(await read(content))).toEqual([content]);
  });
});
