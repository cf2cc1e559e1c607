import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bearsFinishingMark, encodeName, settleTime } from '../../src/spool/message.ts';
import { takesPrecedence } from '../../src/verdict.ts';

/** A name as the program has it: one character a byte. */
function rawName(name: string | readonly number[]): string {
  const bytes = typeof name === 'string' ? Buffer.from(name) : Buffer.from(name);
  return bytes.toString('latin1');
}

/** Any name that a folder can hold: 1 to 255 bytes without NUL and slash. */
const fileNames = fc.oneof(
  namesOf(fc.integer({ min: 1, max: 255 }).filter((byte) => byte !== 0x2f)),
  // what the rules are about, thick
  namesOf(fc.constantFrom(...Buffer.from('.-%~aA09_=@+json \n\u001b'))),
  fc.tuple(namesOf(fc.constantFrom(...Buffer.from('a%.'))), fc.constant('.json')).map(joined),
);

function namesOf(bytes: fc.Arbitrary<number>): fc.Arbitrary<string> {
  return fc.array(bytes, { minLength: 1, maxLength: 255 }).map(rawName);
}

function joined([stem, ending]: readonly [string, string]): string {
  return stem.slice(0, 250) + ending;
}

describe('the key of a name', () => {
  test.each([
    ['a space', 'a b', 'a%20b'],
    ['a newline', 'a\nb', 'a%0Ab'],
    ['a percent sign', '100%', '100%25'],
    ['a tilde, which marks a cut name', 'a~b', 'a%7Eb'],
    ['a leading dash', '-rf', '%2Drf'],
    ['a leading dot', '.hidden', '%2Ehidden'],
    ['a dash and dots inside', 'a-b..c', 'a-b..c'],
    ['the ending .json', 'a.json', 'a%2Ejson'],
    ['.json inside', 'a.json.eml', 'a.json.eml'],
    ['.JSON, which no reason file ends in', 'a.JSON', 'a.JSON'],
  ])('encodes %s', (_what, name, key) => expect(encodeName(name)).toBe(key));

  test('that would be longer than 200 bytes encoded is cut, never inside an escape', () => {
    for (const shift of ['', 'a', 'aa']) {
      const key = encodeName(shift + 'ü'.repeat(120));
      expect(key).toMatch(/^a*(%[0-9A-F]{2})+~[0-9a-f]{32}$/);
      expect(key.length).toBeGreaterThan(190);
      expect(key.length).toBeLessThanOrEqual(200);
    }
  });

  test('is safe and at most 200 bytes long, whatever the name', () => {
    fc.assert(
      fc.property(fileNames, (name) => {
        const key = encodeName(name);
        expect(Buffer.byteLength(key)).toBeLessThanOrEqual(200);
        expect(key).toMatch(/^(?![.-])([A-Za-z0-9._=@+-]|%[0-9A-F]{2})+(~[0-9a-f]{32})?$/);
        expect(key).not.toMatch(/\.json$/);
      }),
      { numRuns: 2_000 },
    );
  });

  test('says which name it was, unless it was cut', () => {
    fc.assert(
      fc.property(fileNames, (name) => {
        const key = encodeName(name);
        fc.pre(!key.includes('~'));
        const decoded = key.replace(/%(..)/g, (_escape, hex: string) =>
          String.fromCharCode(Number.parseInt(hex, 16)),
        );
        expect(decoded).toBe(name);
      }),
      { numRuns: 2_000 },
    );
  });

  test('belongs to one name only', () => {
    const neighbours = fileNames.chain((name) =>
      fc.tuple(
        fc.constant(name),
        fc.oneof(
          fileNames,
          // what an encoder that forgets something takes for the same
          fc.constant(encodeName(name)),
          fc.constant(name.toLowerCase()),
          fc.constant(`${name.slice(0, 254)}x`),
          fc.constant(name.replace(/%/g, '%25')),
          fc.constant(name.replace('.json', '%2Ejson')),
          fc.nat({ max: 254 }).map((at) => name.slice(0, at) + name.slice(at + 1)),
        ),
      ),
    );
    fc.assert(
      fc.property(neighbours, ([one, other]) => {
        fc.pre(one !== other && other !== '');
        expect(encodeName(one)).not.toBe(encodeName(other));
      }),
      { numRuns: 5_000 },
    );
  });
});

describe('the finishing mark', () => {
  test.each([0o100660n, 0o660n])('is mode %o', (mode) => {
    expect(bearsFinishingMark(mode)).toBe(true);
  });

  test.each([0o644n, 0o600n, 0o664n, 0o666n, 0o640n, 0o4660n, 0o2660n, 0o1660n, 0o000n])(
    'is no other mode: %o',
    (mode) => expect(bearsFinishingMark(0o100_000n | mode)).toBe(false),
  );

  test('makes a tenth of the settle time enough', () => {
    expect(settleTime(false, 2_000)).toBe(2_000);
    expect(settleTime(true, 2_000)).toBe(200);
  });
});

describe('the newer verdict', () => {
  const ANY = fc.bigInt({ min: 0n, max: 1n << 63n });

  test('is one of any two, whatever their classes and times, and of three as well', () => {
    const verdict = fc.constantFrom('spam', 'ham', 'news', 'bulk');
    const file = fc.tuple(verdict, fc.bigInt({ min: 0n, max: 2n }));
    type Judged = readonly [verdict: string, mtimeNs: bigint];
    const beats = ([one, time]: Judged, [other, otherTime]: Judged): boolean =>
      takesPrecedence(one, time, other, otherTime);
    fc.assert(
      fc.property(file, file, file, (a, b, c) => {
        fc.pre(new Set([a[0], b[0], c[0]]).size === 3);
        expect(beats(a, b)).toBe(!beats(b, a));
        if (beats(a, b) && beats(b, c)) expect(beats(a, c)).toBe(true);
      }),
    );
    expect(takesPrecedence('news', 1n, 'ham', 1n)).toBe(false);
    expect(takesPrecedence('news', 1n, 'spam', 1n)).toBe(true);
  });

  test('is that of the later mtime, to the nanosecond, and ham on a tie', () => {
    fc.assert(
      fc.property(ANY, (time) => {
        expect(takesPrecedence('spam', time + 1n, 'ham', time)).toBe(true);
        expect(takesPrecedence('spam', time, 'ham', time)).toBe(false);
        expect(takesPrecedence('ham', time, 'spam', time)).toBe(true);
        expect(takesPrecedence('ham', time, 'spam', time + 1n)).toBe(false);
      }),
    );
  });
});
