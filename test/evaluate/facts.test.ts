import { describe, expect, test } from 'vitest';
import { factsOf } from '../../src/evaluate/facts.ts';
import { makeMessage, regenerated } from '../lab/messages.ts';

const NOW = Date.UTC(2026, 0, 1);

function factsOfHeader(...lines: readonly string[]) {
  return factsOf(Buffer.from(`${lines.join('\n')}\n\nA few words.\n`, 'latin1'), NOW);
}

describe('the time of a message', () => {
  test('is that of its last hop, behind the semicolon, and that of its Date', () => {
    const { received, date } = factsOfHeader(
      'Received: from a by b (x; y) id 1;',
      '\tThu, 22 Aug 2002 18:26:25 +0700 (ICT)',
      'Received: from c by d; Thu, 22 Aug 2002 01:00:00 +0000',
      'Date: Thu, 22 Aug 2002 10:00:00 +0000',
    );
    expect(received).toBe(Date.UTC(2002, 7, 22, 11, 26, 25));
    expect(date).toBe(Date.UTC(2002, 7, 22, 10));
  });

  test.each(['soon', 'Thu, 1 Jan 1970 00:00:00 +0000', 'Fri, 1 Jan 2038 00:00:00 +0000', ''])(
    'is none where it says %j, which is not true',
    (text) => expect(factsOfHeader(`Date: ${text}`).date).toBeUndefined(),
  );
});

describe('the sender of a message', () => {
  test.each([
    [['List-Id: The list <Users.Lists.Example>', 'From: a@b.example'], 'users.lists.example'],
    [['List-Id: bare.list.example', 'From: a@b.example'], 'bare.list.example'],
    [['From: "A @ home" <a@B.Example>'], 'b.example'],
    [['From: a@b.example (A. B.)'], 'b.example'],
    [['From: nobody'], 'unknown'],
    [['From: a@b\u001b[31m.example'], 'b?[31m.example'],
  ])('of %j is %s', (lines, sender) => {
    expect(factsOfHeader('Subject: x', ...lines).sender).toBe(sender);
  });
});

describe('the subject of a message', () => {
  test('is decoded, cleaned and cut at 60 characters', () => {
    const subject = (text: string): string => factsOfHeader(`Subject: ${text}`).subject;
    expect(
      subject('=?utf-8?Q?Gr=C3=BC=C3=9Fe?= =?utf-8?B?IGF1cw==?= =?iso-8859-1?q?_K=F6ln?= !'),
    ).toBe('Grüße aus Köln !');
    expect(subject('=?utf-8?Q?a=1B[2Jb?=')).toBe('a?[2Jb');
    expect(subject('x'.repeat(100))).toHaveLength(60);
    expect(subject('=?nonsense?Q?a?=')).toBe('a');
  });
});

describe('copies of a message', () => {
  const message = makeMessage('spam', 1);
  const keyOf = (raw: Buffer): number => factsOf(raw, NOW).contentKey;

  test('are known by their words, whatever else is new', () => {
    const text = message.raw.toString();
    const key = keyOf(message.raw);
    expect(keyOf(Buffer.from(text.replaceAll('\r\n', '\n')))).toBe(key);
    expect(keyOf(Buffer.from(`X-Spam: yes\r\n${text}`))).toBe(key);
    expect(keyOf(regenerated(message, 1).raw)).toBe(keyOf(regenerated(message, 2).raw));
    expect(keyOf(Buffer.from(text.replace('Subject: ', 'Subject: Re: ')))).not.toBe(key);
    expect(keyOf(makeMessage('spam', 2).raw)).not.toBe(key);
  });

  test('are known by their Message-ID', () => {
    const id = (header: string): number => factsOfHeader('From: a@b.example', header).idKey;
    expect(id('Message-ID: <1@x>')).toBe(id('Message-Id:  <1@x>'));
    expect(id('Message-ID: <1@x>')).not.toBe(id('Message-ID: <2@x>'));
    expect(id('Subject: none')).toBe(0);
  });
});
