import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { presentable } from '../../src/trainers/reason.ts';

/** Longest stretch that may be a coincidence. */
const STRETCH = 20;
const SEARCHED = 262_144;

/** What is promised, said in the plainest way. */
function plainly(reason: string, mail: string): string {
  let kept = '';
  let repeatsUntil = 0;
  for (let at = 0; at < reason.length; at += 1) {
    const stretch = reason.slice(at, at + STRETCH);
    if (stretch.length === STRETCH && mail.includes(stretch)) {
      if (at >= repeatsUntil) kept += '[mail]';
      repeatsUntil = at + STRETCH;
    }
    if (at >= repeatsUntil) kept += reason.charAt(at);
  }
  return kept;
}

/** A mail that counts how often one of its bytes is looked at; a search of Node's looks at all. */
function counted(mail: Buffer): { readonly mail: Buffer; readonly looks: () => number } {
  let looks = 0;
  const watched = (bytes: Buffer): Buffer =>
    new Proxy(bytes, {
      get(target, key): unknown {
        if (typeof key === 'string' && /^\d+$/.test(key)) looks += 1;
        if (key === 'subarray') {
          return (begin?: number, end?: number) => watched(target.subarray(begin, end));
        }
        const found: unknown = Reflect.get(target, key);
        if (typeof found !== 'function') return found;
        return (...given: unknown[]): unknown => {
          looks += target.length;
          return Reflect.apply(found, target, given);
        };
      },
    });
  return { mail: watched(mail), looks: () => looks };
}

describe('a reason', () => {
  test('keeps its words, and loses ids and controls', () => {
    const mail = Buffer.from('Message-ID: <a@example.org>\r\n\r\nHello');
    expect(presentable('500 <a@example.org> is\u0007 odd', mail)).toBe('500 <id> is? odd');
    expect(presentable('500 Connection refused', Buffer.from('Connection refused'))).toBe(
      '500 Connection refused',
    );
  });

  test('loses what the mail says, wherever in it that is, and keeps the rest', () => {
    const secret = 'Dear Erika, the result of your test';
    for (const before of [0, 1, 19, 20, 21, 1_000, SEARCHED - secret.length]) {
      const mail = Buffer.from(`${'x'.repeat(before)}${secret}${'y'.repeat(100)}`);
      expect(presentable(`500 can't parse '${secret}', sorry`, mail)).toBe(
        "500 can't parse '[mail]', sorry",
      );
    }
  });

  test('loses bytes that are no ASCII just so', () => {
    const secret = Buffer.from('Größe: überall äußerst übel');
    const reason = `500 ${secret.toString('latin1')}!`;
    expect(presentable(reason, Buffer.concat([Buffer.from('x'), secret]))).toBe('500 [mail]!');
  });

  test('is held against the mail as it was always promised', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', ' '), maxLength: 120 });
    const pieces = fc.array(fc.tuple(text, fc.nat(400), fc.nat(60)), { maxLength: 4 });
    fc.assert(
      fc.property(fc.array(text, { maxLength: 5 }), pieces, (parts, cuts) => {
        const mail = parts.join('');
        const reason = cuts.map(
          ([own, at, length]) => own.slice(0, 30) + mail.slice(at, at + length),
        );
        const whole = reason.join('').slice(0, 150);
        expect(presentable(whole, Buffer.from(mail))).toBe(plainly(whole, mail));
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('the search', () => {
  const words = 'something went wrong while the classifier looked at the message and ';
  test.each([
    ['words', words.repeat(5), Buffer.from(words.repeat(80_000))],
    [
      'other words',
      words.repeat(5),
      Buffer.from('what the user has written to them '.repeat(160_000)),
    ],
    ['one letter', 'a'.repeat(400), Buffer.alloc(5_000_000, 'a')],
    ['what is almost the same', 'a'.repeat(400), Buffer.from(`${'a'.repeat(19)}b`.repeat(250_000))],
  ])(
    'looks at each byte of 256 KB a few times, however long mail and reason are: %s',
    (_, reason, body) => {
      const { mail, looks } = counted(body);
      presentable(reason, mail);
      expect(looks()).toBeLessThan(2.5 * SEARCHED);
    },
  );

  test('looks at nothing for a reason that is too short to repeat a stretch', () => {
    const { mail, looks } = counted(Buffer.alloc(1_000_000, 'a'));
    presentable('a'.repeat(STRETCH - 1), mail);
    expect(looks()).toBe(0);
  });

  test('ends as soon as all is found', () => {
    const { mail, looks } = counted(
      Buffer.from('Dear Erika, the result of your test'.repeat(1_000)),
    );
    expect(presentable('Dear Erika, the result of your test', mail)).toBe('[mail]');
    expect(looks()).toBeLessThan(2_000);
  });
});
