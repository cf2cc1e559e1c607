import { describe, expect, test } from 'vitest';
import { Sample, sampleResult } from '../../src/relearn/sample.ts';
import { RunStats } from '../../src/relearn/stats.ts';
import type { Found } from '../../src/relearn/sources/source.ts';
import { VERDICTS } from '../../src/verdict.ts';
import type { Verdict } from '../../src/verdict.ts';

async function drawn(sample: Sample): Promise<{ place: string; verdict: Verdict }[]> {
  const all: { place: string; verdict: Verdict }[] = [];
  for (const source of sample.sources()) {
    for await (const found of source.read() as AsyncIterable<Found>) {
      all.push({ place: found.place, verdict: source.verdict });
    }
  }
  return all;
}

function offer(
  sample: Sample,
  key: string,
  text = 'a letter',
  verdict: Verdict = 'spam',
  locks: readonly string[] = [key],
): void {
  const body = Buffer.from(text);
  sample.offer({ key, verdict, bytes: body.length }, body, locks);
}

/** A generator with a fixed start, as good as is needed here (Park and Miller). */
function dice(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
}

describe('a sample', () => {
  test('is all of a few, each with its class', async () => {
    const sample = new Sample(10, Math.random);
    offer(sample, 'a');
    offer(sample, 'b', 'another one', 'ham');
    expect(await drawn(sample)).toEqual([
      { place: 'a', verdict: 'spam' },
      { place: 'b', verdict: 'ham' },
    ]);
  });

  test('is drawn from all of many with the same chance', async () => {
    const counts = new Array<number>(100).fill(0);
    for (let round = 1; round <= 400; round += 1) {
      const sample = new Sample(5, dice(round * 7_919));
      for (let index = 0; index < counts.length; index += 1) offer(sample, String(index));
      const chosen = await drawn(sample);
      expect(chosen).toHaveLength(5);
      for (const { place } of chosen) counts[Number(place)] = (counts[Number(place)] ?? 0) + 1;
    }
    // 20 of each are expected; so far from that is one in ten thousand runs.
    expect(Math.min(...counts)).toBeGreaterThan(3);
    expect(Math.max(...counts)).toBeLessThan(42);
    const firstHalf = counts.slice(0, 50).reduce((sum, count) => sum + count, 0);
    expect(Math.abs(firstHalf - 1_000)).toBeLessThan(110);
  });

  test.each([
    ['several hosts', 'http://a.example/x and https://b.example/y'],
    ['several hosts without a scheme', 'www.a.example www.b.example'],
    ['what it can’t look into', 'Content-Transfer-Encoding: base64\n\nYWJj'],
  ])('has no message with %s', async (_, text) => {
    const sample = new Sample(10, Math.random);
    offer(sample, 'a', text);
    offer(sample, 'b', 'http://a.example/x and HTTP://A.example/y');
    expect((await drawn(sample)).map(({ place }) => place)).toEqual(['b']);
  });

  test('has no message whose copy was learned with another verdict later', async () => {
    const sample = new Sample(10, Math.random);
    offer(sample, 'a', 'a letter', 'spam', ['a', 'body:1']);
    offer(sample, 'b', 'another', 'spam', ['b', 'body:2']);
    offer(sample, 'c', 'a letter', 'ham', ['c', 'body:1']);
    offer(sample, 'd', 'another', 'spam', ['d', 'body:2']);
    expect((await drawn(sample)).map(({ place }) => place)).toEqual(['b', 'd', 'c']);
  });

  test('holds 32 MB at most, and then fewer messages', async () => {
    const sample = new Sample(200, dice(5));
    const body = Buffer.alloc(1024 * 1024, 'a');
    for (let index = 0; index < 300; index += 1) {
      sample.offer({ key: String(index), verdict: 'ham', bytes: body.length }, body, []);
    }
    const chosen = await drawn(sample);
    expect(chosen.length).toBeLessThanOrEqual(32);
    expect(chosen.length).toBeGreaterThan(20);
    // Still of the whole, and not only of the first ones.
    expect(chosen.some(({ place }) => Number(place) > 150)).toBe(true);
  });

  test('of none is empty', async () => {
    const sample = new Sample(0, Math.random);
    offer(sample, 'a');
    expect(await drawn(sample)).toEqual([]);
  });
});

describe('what a sample shows', () => {
  function resultOf(known: number, learned: number) {
    const stats = new RunStats(VERDICTS);
    for (let i = 0; i < known; i += 1) stats.finished(`k${i}`, 'spam', { kind: 'duplicate' });
    for (let i = 0; i < learned; i += 1) {
      stats.finished(`l${i}`, 'ham', { kind: 'learned', proven: true });
    }
    return sampleResult(stats);
  }

  // The limits are those of Clopper and Pearson, one-sided, of a table.
  test.each([
    [200, 0, 0.0149, true],
    [197, 3, 0.0383, true],
    [50, 0, 0.0582, true],
    [190, 10, 0.0837, true],
    [188, 12, 0.0956, false],
    [0, 20, 1, false],
    [7, 3, 0.6066, false],
    [9, 1, 0.3942, true],
  ])('%i known and %i not', (known, learned, atMost, isUsual) => {
    const result = resultOf(known, learned);
    expect(result).toMatchObject({ posted: known + learned, forgotten: learned, isUsual });
    expect(result?.atMost).toBeCloseTo(atMost, 3);
  });

  test('is nothing where nothing was posted', () => expect(resultOf(0, 0)).toBeUndefined());
});
