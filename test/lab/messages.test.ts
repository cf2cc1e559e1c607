import { expect, test } from 'vitest';
import { makeMessage, makeMessages, tooShortMessage, unseenMessage } from './messages.ts';

function body(raw: Buffer): string {
  const text = raw.toString();
  return text.slice(text.indexOf('\r\n\r\n') + 4);
}

test('the same verdict and seed make the same bytes, another seed makes others', () => {
  const message = makeMessage('spam', 7);
  expect(makeMessage('spam', 7).raw.equals(message.raw)).toBe(true);
  expect(makeMessage('spam', 8).raw.equals(message.raw)).toBe(false);
  expect(makeMessage('ham', 7).raw.equals(message.raw)).toBe(false);
});

test('no two of a thousand messages share a body, a file name or a Message-ID', () => {
  const messages = [...makeMessages('spam', 500), ...makeMessages('ham', 500)];
  expect(new Set(messages.map(({ raw }) => body(raw))).size).toBe(1000);
  expect(new Set(messages.map(({ name }) => name)).size).toBe(1000);
  expect(new Set(messages.map(({ messageId }) => messageId)).size).toBe(1000);
});

test('every message is RFC 5322 with CRLF and short lines, and every slot is filled', () => {
  for (const message of [...makeMessages('spam', 200), ...makeMessages('ham', 200)]) {
    const text = message.raw.toString();
    expect(text).toMatch(/^(?:[A-Z][A-Za-z-]*: [^\r\n]+\r\n){8}\r\n[A-Z]/);
    expect(text).toContain(`Message-ID: <${message.messageId}>\r\n`);
    expect(text.replaceAll('\r\n', '')).not.toMatch(/[\r\n{}]/);
    expect(Math.max(...text.split('\r\n').map((line) => line.length))).toBeLessThan(100);
  }
});

test('bodies hold nothing that rspamd takes for a URL or an address', () => {
  for (const { raw } of [...makeMessages('spam', 200), ...makeMessages('ham', 200)]) {
    expect(body(raw)).not.toMatch(/[@/]|www|[a-z]\.[a-z]/i);
  }
});

test('LF messages differ from CRLF ones in their line ends only', () => {
  const crlf = makeMessage('ham', 3).raw.toString();
  const lf = makeMessage('ham', 3, { lineEnding: 'lf' }).raw.toString();
  expect(lf).not.toContain('\r');
  expect(lf.replaceAll('\n', '\r\n')).toBe(crlf);
});

test('more sentences make a longer message', () => {
  const short = makeMessage('ham', 3, { sentences: 4 }).raw.length;
  expect(makeMessage('ham', 3, { sentences: 20 }).raw.length).toBeGreaterThan(short * 2);
});

test('unseen and too short messages are none of the made ones', () => {
  const names = new Set(makeMessages('spam', 300).map(({ name }) => name));
  for (const { name } of [unseenMessage('spam'), unseenMessage('ham'), tooShortMessage()]) {
    expect(names.has(name)).toBe(false);
  }
});
