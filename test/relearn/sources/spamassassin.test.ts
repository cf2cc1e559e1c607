import { describe, expect, test } from 'vitest';
import { PathSource } from '../../../src/relearn/sources/path-source.ts';
import type { Found } from '../../../src/relearn/sources/source.ts';
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

async function read(content: string): Promise<Found[]> {
  const stdin = (): AsyncIterable<Buffer> => inPieces(content, 100);
  return readAll(new PathSource('-', 'spam', readingOptions({ stdin })));
}

async function taught(content: string): Promise<string[]> {
  return (await read(content)).map((found) =>
    found.kind === 'message'
      ? `${found.isUnwrapped === true ? 'unwrapped ' : ''}${found.body.toString('latin1')}`
      : found.kind,
  );
}

describe('a message that SpamAssassin has wrapped', () => {
  test.each(['message/rfc822', 'text/plain'])('is taught as it was: %s', async (type) => {
    const original = mail('one', 'Some text.\n\n--\nA signature\n');
    expect(await taught(wrapped(original, type))).toEqual([`unwrapped ${original}`]);
    const crlf = wrapped(original, type).replaceAll('\n', '\r\n');
    expect(await taught(crlf)).toEqual([`unwrapped ${original.replaceAll('\n', '\r\n')}`]);
  });

  test('is taught as it was in an mbox, too', async () => {
    const original = mail('one', 'From here on\n');
    expect(await taught(mboxOf([mail('a'), wrapped(original), mail('b')]))).toEqual([
      mail('a'),
      `unwrapped ${original}`,
      mail('b'),
    ]);
  });

  test('and that was wrapped before is unwrapped twice', async () => {
    const original = mail('one');
    const twice = wrapped(wrapped(original, 'message/rfc822', '----------=_1'));
    expect(await taught(twice)).toEqual([`unwrapped ${original}`]);
  });

  test('is taken as it is where the end of what it holds is missing', async () => {
    const cut = wrapped(mail('one')).replace(`--${BOUNDARY}--`, '');
    expect(await taught(cut)).toEqual([cut]);
  });
});

test.each([
  [
    'quotes the wrapper’s words',
    mail('one', 'Content-Type: message/rfc822; x-spam-type=original\n'),
  ],
  ['holds another part', wrapped(mail('one')).replace('; x-spam-type=original', '')],
  ['has no mail inside', wrapped('no header\n')],
  ['is of another kind', wrapped(mail('one')).replace('multipart/mixed', 'multipart/digest')],
])('a message that %s is taught as it is', async (_name, content) => {
  expect(await taught(content)).toEqual([content]);
});
