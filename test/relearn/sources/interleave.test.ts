import { describe, expect, test } from 'vitest';
import { interleave } from '../../../src/relearn/sources/interleave.ts';
import type { Found, Source } from '../../../src/relearn/sources/source.ts';
import type { Verdict } from '../../../src/verdict.ts';

interface Scripted extends Source {
  readonly ended: boolean;
  readonly reads: number;
}

/** A source of so many messages, that knows how many when it is told to. */
function scripted(
  verdict: Verdict,
  kinds: readonly Found['kind'][],
  expected: () => number | undefined,
): Scripted {
  let ended = false;
  let reads = 0;
  return {
    name: verdict,
    verdict,
    get expected() {
      return ended ? kinds.length : expected();
    },
    get ended() {
      return ended;
    },
    get reads() {
      return reads;
    },
    count: () => Promise.resolve(),
    async *read() {
      try {
        for (const kind of kinds) {
          reads += 1;
          yield await Promise.resolve(found(kind));
        }
      } finally {
        ended = true;
      }
    },
  };
}

function found(kind: Found['kind']): Found {
  switch (kind) {
    case 'message':
      return { kind, place: '', body: Buffer.alloc(0) };
    case 'skipped':
    case 'passed':
    case 'failed':
      return { kind, place: '', reason: '' };
    case 'older':
    case 'done':
      return { kind, place: '' };
  }
}

function messages(count: number): Found['kind'][] {
  return Array.from({ length: count }, () => 'message');
}

async function order(sources: readonly Source[]): Promise<string> {
  let letters = '';
  for await (const { source } of interleave(sources)) letters += source.verdict.charAt(0);
  return letters;
}

describe('sources of both verdicts', () => {
  test('are read one by one while it is not known how much they hold', async () => {
    const unknown = (): undefined => undefined;
    const sources = [scripted('ham', messages(6), unknown), scripted('spam', messages(3), unknown)];
    expect(await order(sources)).toBe('shshshhhh');
  });

  test('are read in proportion when it is known, and end together', async () => {
    const letters = await order([
      scripted('spam', messages(10), () => 10),
      scripted('ham', messages(30), () => 30),
    ]);
    for (let at = 4; at <= letters.length; at += 4) {
      const spam = letters.slice(0, at).replaceAll('h', '').length;
      expect(Math.abs(spam - at / 4)).toBeLessThanOrEqual(1);
    }
    expect(letters.slice(-5)).toContain('s');
  });

  test('go over to proportion as soon as it is known', async () => {
    let known: number | undefined;
    const sources = [
      scripted('spam', messages(10), () => 10),
      scripted('ham', messages(100), () => known),
    ];
    let letters = '';
    for await (const { source } of interleave(sources)) {
      letters += source.verdict.charAt(0);
      if (letters.length === 8) known = 100;
    }
    expect(letters.slice(0, 8)).toBe('shshshsh');
    expect(letters.slice(8, 40)).toBe('h'.repeat(32));
    expect(letters.slice(40, 60)).toContain('s');
  });

  test('are balanced by their messages, not by what else they hold', async () => {
    const sources = [
      scripted(
        'spam',
        ['skipped', 'older', 'skipped', 'message', 'failed', 'done'],
        () => undefined,
      ),
      scripted('ham', messages(3), () => undefined),
    ];
    expect(await order(sources)).toBe('shssshshs');
  });

  test('may be several of one verdict, read one after the other', async () => {
    const sources = [
      scripted('spam', messages(2), () => 2),
      scripted('spam', messages(2), () => 2),
    ];
    const seen: Source[] = [];
    for await (const { source } of interleave(sources)) seen.push(source);
    expect(seen.map((source) => sources.findIndex((each) => each === source))).toEqual([
      0, 0, 1, 1,
    ]);
  });

  test('may be none, or empty', async () => {
    expect(await order([])).toBe('');
    expect(await order([scripted('ham', [], () => 0), scripted('spam', [], () => 0)])).toBe('');
  });

  test('are not read ahead, and are ended when the reader leaves', async () => {
    const sources = [scripted('spam', messages(9), () => 9), scripted('ham', messages(9), () => 9)];
    let count = 0;
    for await (const { source } of interleave(sources)) {
      expect(source.verdict).toBeDefined();
      count += 1;
      expect(sources.reduce((sum, { reads }) => sum + reads, 0)).toBe(count);
      if (count === 5) break;
    }
    expect(sources.map(({ ended }) => ended)).toEqual([true, true]);
  });
});
