import { expect, test } from 'vitest';
import { alternate } from '../../../src/relearn/sources/alternate.ts';
import type { Found, Source } from '../../../src/relearn/sources/source.ts';
import type { Verdict } from '../../../src/verdict.ts';

interface Scripted extends Source {
  isEnded: boolean;
  reads: number;
}

const KINDS = { m: 'message', s: 'notMail', f: 'failed', d: 'doneBefore', o: 'older' } as const;

/** A source of what these letters stand for. */
function scripted(verdict: Verdict, kinds: string): Scripted {
  return {
    name: verdict,
    verdict,
    expected: undefined,
    isEnded: false,
    reads: 0,
    count: () => Promise.resolve(),
    async *read() {
      try {
        for (const letter of kinds) {
          this.reads += 1;
          const kind = KINDS[letter as keyof typeof KINDS];
          const rest = { place: '', reason: '', body: Buffer.alloc(0) };
          yield await Promise.resolve<Found>({ kind, ...rest });
        }
      } finally {
        this.isEnded = true;
      }
    },
  };
}

test.each<[string, readonly string[], readonly string[], string, number?]>([
  ['a message of each class by turns, until one class ends', ['mmmmmm'], ['mmm'], 'shshshhhh'],
  ['what is no message beside one', ['mmm'], ['sosmfd'], 'sssshshsh'],
  ['one class alone, one source after the other', ['mm', 'm'], [], 'hhh'],
  ['nothing', [], [], ''],
  ['all, where the sizes are too small', ['mmmm'], ['mm'], 'shshhh', 1],
  ['all, where the sizes are nothing', ['mmmm'], ['mm'], 'shshhh', 0],
])('sources are read by turns: %s', async (_what, ham, spam, expected, size) => {
  const sources = [
    ...ham.map((kinds) => scripted('ham', kinds)),
    ...spam.map((kinds) => scripted('spam', kinds)),
  ];
  let letters = '';
  for await (const { source } of alternate(sources, () => size)) {
    letters += source.verdict.charAt(0);
  }
  expect(letters).toBe(expected);
});

test('of each class the same part is read, at every moment, to within a message', async () => {
  const sources = [scripted('spam', 'm'.repeat(20)), scripted('ham', 'm'.repeat(70))];
  const read = { spam: 0, ham: 0 };
  const sizeOf = ([source]: readonly Source[]): number => (source?.verdict === 'spam' ? 20 : 70);
  for await (const { source } of alternate(sources, sizeOf)) {
    read[source.verdict as keyof typeof read] += 1;
    expect(Math.abs(read.spam - (read.ham * 20) / 70)).toBeLessThanOrEqual(1);
  }
  expect(read).toEqual({ spam: 20, ham: 70 });
});

test('sources are not read ahead, and are ended when the reader leaves', async () => {
  const sources = [scripted('spam', 'mmmmmmmmm'), scripted('ham', 'mmmmmmmmm')];
  let count = 0;
  for await (const { source } of alternate(sources)) {
    expect(source.verdict).toBeDefined();
    count += 1;
    expect(sources.reduce((sum, { reads }) => sum + reads, 0)).toBe(count);
    if (count === 5) break;
  }
  expect(sources.map(({ isEnded }) => isEnded)).toEqual([true, true]);
});
