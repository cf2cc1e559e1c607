import { expect, test } from 'vitest';
import { PathSource } from '../../../src/relearn/sources/path-source.ts';
import { inPieces, mail, mboxOf, readAll, readingOptions } from '../../support/relearn-sources.ts';

const BOUNDARY = '----------=_68B5A1C2.3D4E5F60';

/** As SpamAssassin 3 and 4 write it with `report_safe 1` (message/rfc822) or `2` (text/plain). */
function wrapped(original: string, type = 'message/rfc822', boundary = BOUNDARY): string {
  return `Received: from localhost by mx.example.org
\twith SpamAssassin (version 4.0.0);
\tMon, 01 Sep 2025 10:00:00 +0200
From: A <a@example.org>
To: b@example.org
Subject: *****SPAM***** it
X-Spam-Flag: YES
X-Spam-Status: Yes, score=12.3 required=5.0 tests=ANY autolearn=no
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="${boundary}"

This is a multi-part message in MIME format.

--${boundary}
Content-Type: text/plain; charset=UTF-8
Content-Disposition: inline
Content-Transfer-Encoding: 8bit

Spam detection software has identified this incoming email as possible spam.

--${boundary}
Content-Type: ${type}; x-spam-type=original
Content-Description: original message before SpamAssassin
Content-Disposition: ${type === 'text/plain' ? 'inline' : 'attachment'}
Content-Transfer-Encoding: 8bit

${original}
--${boundary}--

`;
}

async function taught(content: string): Promise<string[]> {
  const stdin = (): AsyncIterable<Buffer> => inPieces(content, 100);
  const all = await readAll(new PathSource('-', 'spam', readingOptions({ stdin })));
  return all.map((found) =>
    found.kind === 'message'
      ? `${found.isUnwrapped === true ? 'unwrapped ' : ''}${found.body.toString('latin1')}`
      : found.kind,
  );
}

const crlf = (text: string): string => text.replaceAll('\n', '\r\n');
const original = mail('one', 'Some text.\n\n--\nA signature\n');
const quoted = mail('one', 'From here on\n');

test.each<[string, string, string[]]>([
  ['an attachment', wrapped(original), [`unwrapped ${original}`]],
  ['a text', wrapped(original, 'text/plain'), [`unwrapped ${original}`]],
  ['CRLF lines', crlf(wrapped(original)), [`unwrapped ${crlf(original)}`]],
  [
    'an mbox',
    mboxOf([mail('a'), wrapped(quoted), mail('b')]),
    [mail('a'), `unwrapped ${quoted}`, mail('b')],
  ],
  [
    'one that was wrapped before',
    wrapped(wrapped(original, 'message/rfc822', '----------=_1')),
    [`unwrapped ${original}`],
  ],
])(
  'a message that SpamAssassin has wrapped is taught as it was: %s',
  async (_form, content, all) => {
    expect(await taught(content)).toEqual(all);
  },
);

test.each([
  ['without the end of what it holds', wrapped(original).replace(`--${BOUNDARY}--`, '')],
  ['that quotes the wrapper’s words', mail('one', 'Content-Type: a/b; x-spam-type=original\n')],
  ['that holds another part', wrapped(original).replace('; x-spam-type=original', '')],
  ['without mail inside', wrapped('no header\n')],
  ['of another kind', wrapped(original).replace('multipart/mixed', 'multipart/digest')],
])('a message %s is taught as it is', async (_name, content) => {
  expect(await taught(content)).toEqual([content]);
});
