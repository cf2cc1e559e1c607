import { describe, expect, test } from 'vitest';
import { learnAndProve } from '../../src/delivery/posts.ts';
import type { Proof } from '../../src/delivery/posts.ts';
import type { Outcome } from '../../src/trainers/trainer.ts';
import {
  DUPLICATE,
  LEARNED,
  NO_ANSWER,
  NO_REDIS,
  REFUSES,
  UNKNOWN_ERROR,
  WRONG_PASSWORD,
} from '../support/scripted-trainer.ts';

/** What comes of posts that are answered so, and what was done between them. */
async function prove(...outcomes: readonly Outcome[]): Promise<[Proof, string[]]> {
  const story: string[] = [];
  const left = [...outcomes];
  const result = await learnAndProve({
    most: 4,
    post: () => {
      const outcome = left.shift();
      if (outcome === undefined) throw new Error('one post too many');
      story.push(outcome.kind);
      return Promise.resolve(outcome);
    },
    pause: (ms) => {
      story.push(`${ms} ms`);
      return Promise.resolve();
    },
  });
  expect(left).toEqual([]);
  return [result, story];
}

const FAILURES: readonly Outcome[] = [
  { kind: 'refused', reason: '204 too few tokens' },
  { kind: 'rejected', reason: '413' },
  NO_ANSWER,
  UNKNOWN_ERROR,
  NO_REDIS,
  REFUSES,
  WRONG_PASSWORD,
  { kind: 'aborted' },
];

test('200 alone is no proof: three more posts, at once, after 250 ms, after a second', async () => {
  const [result, story] = await prove(LEARNED, LEARNED, LEARNED, LEARNED);
  expect(result).toEqual({ kind: 'unproven' });
  expect(story).toEqual(['learned', 'learned', '250 ms', 'learned', '1000 ms', 'learned']);
});

test.each([
  [1, ['learned', 'duplicate']],
  [2, ['learned', 'learned', '250 ms', 'duplicate']],
  [3, ['learned', 'learned', '250 ms', 'learned', '1000 ms', 'duplicate']],
])('208 after %d times 200 is the proof, and ends it', async (times, expected) => {
  const [result, story] = await prove(...Array<Outcome>(times).fill(LEARNED), DUPLICATE);
  expect(result).toEqual({ kind: 'proven', isLate: times > 1 });
  expect(story).toEqual(expected);
});

test('208 at once shows that it is known, not that it is stored now', async () => {
  const [result, story] = await prove(DUPLICATE);
  expect(result).toEqual({ kind: 'known' });
  expect(story).toEqual(['duplicate']);
});

describe.each(FAILURES)('%o decides', (failure) => {
  test('as the first answer', async () => {
    const [result] = await prove(failure);
    expect(result).toEqual({ kind: 'failed', outcome: failure });
  });

  test.each([1, 2, 3])(
    'after %d times 200, of which it keeps that there were some',
    async (times) => {
      const [result] = await prove(...Array<Outcome>(times).fill(LEARNED), failure);
      expect(result).toEqual({ kind: 'failed', outcome: failure });
    },
  );
});
