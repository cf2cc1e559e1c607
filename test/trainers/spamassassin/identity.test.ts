import { expect, test } from 'vitest';
import { identityOf } from '../../../src/trainers/spamassassin/identity.ts';

const identity = (text: string): string => identityOf(Buffer.from(text, 'latin1'));
const MAIL =
  'To: a@b.example,\n c@d.example\nDate: Mon, 1 Jan 2024 00:00:00 +0000\nX: 1\n\none\ntwo\n';

test.each([
  ['other headers', MAIL.replace('X: 1', 'Subject: y\nMessage-ID: <x@y>')],
  ['its headers in another order', MAIL.replace('X: 1\n', '').replace('To:', 'X: 1\nTo:')],
  ['other line ends', MAIL.replaceAll('\n', '\r\n')],
])('a message is the same with %s', (_what, other) => {
  expect(other).not.toBe(MAIL);
  expect(identity(other)).toBe(identity(MAIL));
});

test.each([
  ['To', MAIL.replace('c@d', 'e@d')],
  ['Date', MAIL.replace('+0000', 'GMT')],
  ['body', MAIL.replace('two', 'three')],
  ['end', `${MAIL}\n`],
])('and another one with another %s', (_what, other) => {
  expect(other).not.toBe(MAIL);
  expect(identity(other)).not.toBe(identity(MAIL));
});

test('is fit for the name of a file, whatever the message is', () => {
  for (const text of ['', '\n\n', 'To: ../..\n\n', MAIL]) {
    expect(identity(text)).toMatch(/^[0-9a-f]{40}$/);
  }
});
