import { expect, test } from 'vitest';
import { makeMessage, makeMessages, tooShortMessage, unseenMessage } from './messages.ts';

function body(raw: Buffer): string {
  const text = raw.toString();
  return text.slice(text.indexOf('\r\n\r\n') + 4);
}

test('the same verdict and seed make the same bytes, others share no body, name or Message-ID', () => {
  expect(makeMessage('spam', 7).raw.equals(makeMessage('spam', 7).raw)).toBe(true);
  const messages = [...makeMessages('spam', 300), ...makeMessages('ham', 300)];
  messages.push(unseenMessage('spam'), unseenMessage('ham'), tooShortMessage());
  expect(new Set(messages.map(({ raw }) => body(raw))).size).toBe(603);
  expect(new Set(messages.map(({ name }) => name)).size).toBe(603);
  expect(new Set(messages.map(({ messageId }) => messageId)).size).toBe(603);
});

test('every message is RFC 5322 with CRLF, short lines and filled slots, and nothing like a URL', () => {
  for (const message of [...makeMessages('spam', 200), ...makeMessages('ham', 200)]) {
    const text = message.raw.toString();
    expect(text).toMatch(/^(?:[A-Z][A-Za-z-]*: [^\r\n]+\r\n){8}\r\n[A-Z]/);
    expect(text).toContain(`Message-ID: <${message.messageId}>\r\n`);
    expect(text.replaceAll('\r\n', '')).not.toMatch(/[\r\n{}]/);
    expect(Math.max(...text.split('\r\n').map((line) => line.length))).toBeLessThan(100);
    // what rspamd takes for a URL or an address it doesn't always recognise
    expect(body(message.raw)).not.toMatch(/[@/]|www|[a-z]\.[a-z]/i);
  }
});
