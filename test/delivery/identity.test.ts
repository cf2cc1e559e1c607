import { describe, expect, test } from 'vitest';
import { identify } from '../../src/delivery/message.ts';
import { keyLock } from '../../src/spool/message-locks.ts';

function messageIdOf(text: string): string | undefined {
  return identify('a', Buffer.from(text, 'latin1')).messageId;
}

/** The locks of a message but that of its key. */
function locksOf(text: string, key = 'a'): readonly string[] {
  const { locks } = identify(key, Buffer.from(text, 'latin1'));
  expect(locks[0]).toBe(keyLock(key));
  return locks.slice(1);
}

function shares(one: string, other: string): boolean {
  const locks = new Set(locksOf(other));
  return locksOf(one).some((lock) => locks.has(lock));
}

describe('the Message-ID', () => {
  const ID = 'one@example.org';

  test.each([
    ['with LF', `Subject: x\nMessage-ID: <${ID}>\n\nbody`],
    ['with CRLF', `Subject: x\r\nMessage-ID: <${ID}>\r\n\r\nbody`],
    ['in other capitals', `MESSAGE-id: <${ID}>\n\nbody`],
    ['without brackets', `Message-ID: ${ID}\n\nbody`],
    ['folded with CRLF', `Message-ID:\r\n <${ID}>\r\n\r\nbody`],
    ['folded with LF and a tab', `Message-ID: \n\t<${ID}>\n\nbody`],
    ['folded twice', `Message-ID:\r\n \r\n\t<${ID}>\r\n\r\nbody`],
    ['after an mbox line', `From a@b Sat Mar 14\nMessage-ID: <${ID}>\n\nbody`],
    ['of a message that ends in its header', `Message-ID: <${ID}`],
  ])('is found %s', (_what, text) => expect(messageIdOf(text)).toBe(ID));

  test.each([
    ['no header has it', 'Subject: x\n\nbody'],
    ['it is in the body', `Subject: x\n\nMessage-ID: <${ID}>\n`],
    ['it is only a part of another name', `X-Message-ID: <${ID}>\n\nbody`],
    ['it is in a folded header', `Subject: x\n Message-ID: <${ID}>\n\nbody`],
    ['there is nothing', ''],
    ['it lies beyond what is searched', `X: ${'x'.repeat(300_000)}\nMessage-ID: <${ID}>\n\nbody`],
  ])('is unknown where %s', (_what, text) => expect(messageIdOf(text)).toBeUndefined());

  test('is fit for a log line, whatever it was', () => {
    expect(messageIdOf('Message-ID: <a\u001b[31m\u0007"b@c>\n\n')).toBe('a?[31m?"b@c');
    expect(messageIdOf(`Message-ID: <${'x'.repeat(17_000)}>\n\n`)?.length).toBeLessThanOrEqual(200);
  });

  test('takes no more memory for being long', () => {
    const long = locksOf(`Message-ID: <${'x'.repeat(100_000)}>\n\nbody`);
    for (const lock of long) expect(lock.length).toBeLessThan(60);
  });
});

test('a filter that knows by itself what is one message has locks of its own', () => {
  const locks = (key: string, text: string): readonly string[] =>
    identify(key, Buffer.from(text), '', (message) => message.toString('latin1', 0, 4)).locks;
  expect(locks('a', 'To: x\nMessage-ID: <a@b>\n\none')).toEqual([keyLock('a'), 'same::To: ']);
  expect(locks('b', 'Date: x\nMessage-ID: <a@b>\n\none')).toEqual([keyLock('b'), 'same::Date']);
});

describe('two messages share a lock', () => {
  const BODY = 'A body of several words.';

  test.each([
    ['their Message-ID', `Message-ID: <a@b>\n\none`, `Message-ID: <a@b>\n\nother`],
    ['their body', `Subject: one\n\n${BODY}`, `Subject: other\n\n${BODY}`],
    ['their body, one having no headers but one', `X: 1\n\n${BODY}`, `X: 2\r\n\r\n${BODY}`],
    ['their body, with other line ends', `X: 1\n\n1\n2\n\n3`, `X: 2\r\n\r\n1\r\n2\r\n\r\n3`],
    [
      'a long body, with other line ends',
      `X: 1\n\n${'line\n'.repeat(30_000)}`,
      `X: 2\n\n${'line\r\n'.repeat(30_000)}`,
    ],
    [
      'their Message-ID, with other line ends and folding',
      'Message-ID: <a@b>\n\n1',
      'Subject: x\r\nMessage-ID:\r\n <a@b>\r\n\r\n2',
    ],
  ])('where they share %s', (_what, one, other) => expect(shares(one, other)).toBe(true));

  test.each([
    ['nothing', `Message-ID: <a@b>\n\none`, `Message-ID: <c@d>\n\nother`],
    ['headers without an ID', `Subject: x\n\none`, `Subject: x\n\nother`],
    ['a body but for a blank line', `X: 1\r\n\r\n1\r\n2`, `X: 1\n\n1\n\n2`],
    ['a body but for a lone CR', `X: 1\r\n\r\n1\r\n2`, `X: 1\n\n1\r\r\n2`],
    ['an ID that one only quotes', `Message-ID: <a@b>\n\none`, `Message-ID: <c@d>\n\n<a@b>`],
  ])('not where they share %s', (_what, one, other) => expect(shares(one, other)).toBe(false));

  test('a blank line in LF ends headers in CRLF, and the other way round', () => {
    expect(messageIdOf('Subject: x\r\n\nMessage-ID: <a@b>\n')).toBeUndefined();
    expect(shares(`Subject: 1\n\r\n${BODY}`, `Subject: 2\n\r\n${BODY}`)).toBe(true);
  });
});
