import fc from 'fast-check';
import { expect, test } from 'vitest';
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

test('a reason keeps its words, loses ids and controls, and is short', () => {
  const mail = Buffer.from('Message-ID: <a@example.org>\r\n\r\nConnection refused');
  expect(presentable('500 <a@example.org> is\u0007 odd', mail)).toBe('500 <id> is? odd');
  expect(presentable('500 Connection refused', mail)).toBe('500 Connection refused');
  expect(presentable('long '.repeat(500), mail)).toHaveLength(160);
});

test.each(['Dear Erika, the result of your test', 'Größe: überall äußerst übel'])(
  'a reason loses what the mail says, wherever in it that is: %s',
  (text) => {
    const secret = Buffer.from(text);
    for (const before of [0, 1, 19, 20, 21, 1_000, SEARCHED - secret.length]) {
      const mail = Buffer.concat([Buffer.alloc(before, 'x'), secret, Buffer.alloc(100, 'y')]);
      const reason = `500 can't parse '${secret.toString('latin1')}', sorry`;
      expect(presentable(reason, mail)).toBe("500 can't parse '[mail]', sorry");
    }
  },
);

test('a reason loses each stretch of the mail, and nothing else', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', ' '), maxLength: 120 });
  const pieces = fc.array(fc.tuple(text, fc.nat(400), fc.nat(60)), { maxLength: 4 });
  fc.assert(
    fc.property(fc.array(text, { maxLength: 5 }), pieces, (parts, cuts) => {
      const mail = parts.join('');
      const said = cuts.map(([own, at, length]) => own.slice(0, 30) + mail.slice(at, at + length));
      const whole = said.join('').slice(0, 150);
      expect(presentable(whole, Buffer.from(mail))).toBe(plainly(whole, mail));
    }),
    { numRuns: 1_000 },
  );
});
