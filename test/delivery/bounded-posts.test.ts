import { describe, expect, test } from 'vitest';
import type { BaseVerdict } from '../../src/verdict.ts';
import { DeliveryBench } from '../support/delivery-bench.ts';
import {
  DUPLICATE,
  LEARNED,
  NO_REDIS,
  UNKNOWN_ERROR,
  to,
  toAll,
} from '../support/scripted-trainer.ts';
import type { Rule } from '../support/scripted-trainer.ts';

/** What is promised, restarts included. */
const MOST_POSTS = 8;

const MINUTE_MS = 60_000;

/** What rspamd 3.8.0 to 3.8.4 do: the class that a message had first is kept for ever. */
class KeepsFirstClass {
  readonly counts: Record<BaseVerdict, number> = { spam: 0, ham: 0 };
  readonly rule: Rule;
  readonly #first = new Map<string, BaseVerdict>();
  #learns = 0;

  constructor(bench: DeliveryBench) {
    this.rule = ({ name, verdict: said }) => {
      const verdict = said === 'spam' ? 'spam' : 'ham';
      const first = this.#first.get(name);
      if (first === verdict) return DUPLICATE;
      this.#learns += 1;
      this.counts[verdict] += 1;
      if (first === undefined) this.#first.set(name, verdict);
      else this.counts[first] -= 1;
      this.show(bench);
      return LEARNED;
    };
    bench.trainer.plays(this.rule);
  }

  show(bench: DeliveryBench): void {
    bench.trainer.figures = {
      hasBackend: true,
      learned: { ...this.counts },
      learns: this.#learns,
      uptimeSeconds: 100_000,
    };
  }
}

/** Teaches messages as spam, and lets looks at `/stat` reach back far enough. */
async function taught(bench: DeliveryBench, names: readonly string[]): Promise<KeepsFirstClass> {
  const rspamd = new KeepsFirstClass(bench);
  rspamd.show(bench);
  for (const name of names) bench.put(name);
  bench.watchFigures();
  await bench.finish();
  await bench.flow(3 * MINUTE_MS);
  return rspamd;
}

function namesOf(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `m${index}`);
}

/** How often each message was posted. */
function postsOf(bench: DeliveryBench): Map<string, number> {
  const posts = new Map<string, number>();
  for (const name of bench.trainer.names) posts.set(name, (posts.get(name) ?? 0) + 1);
  return posts;
}

describe('a verdict that is turned where rspamd keeps the first one for ever', () => {
  test('is done without a proof once /stat shows that its posts were counted', async () => {
    const bench = new DeliveryBench();
    const rspamd = await taught(bench, namesOf(10));
    bench.trainer.posts.length = 0;
    bench.put('m3', { verdict: 'ham' });
    await bench.flow(10 * MINUTE_MS);
    expect(bench.isEmpty).toBe(true);
    expect(bench.trainer.posts.length).toBeLessThanOrEqual(MOST_POSTS);
    const posts = bench.trainer.posts.length;
    expect(rspamd.counts).toEqual({ spam: 10 - posts, ham: posts });
    expect(bench.recorder.of('message.learned').at(-1)?.fields).toMatchObject({
      file: 'm3',
      proven: false,
      reason: expect.stringContaining('counted') as string,
    });
    expect(bench.controller.state).toBe('up');
  });

  test('costs two posts where the version says so, and the reason names it', async () => {
    const bench = new DeliveryBench();
    await taught(bench, namesOf(10));
    bench.trainer.version = '3.8.1';
    bench.trainer.posts.length = 0;
    bench.put('m3', { verdict: 'ham' });
    await bench.flow(10 * MINUTE_MS);
    expect(bench.trainer.posts.length).toBeLessThanOrEqual(4);
    expect(bench.recorder.of('message.learned').at(-1)?.fields['reason']).toContain('rspamd 3.8.1');
  });
});

describe('a controller that acknowledges all and remembers nothing', () => {
  test('is posted each message eight times at most, for hours, and all is learned when it is over', async () => {
    const bench = await DeliveryBench.warm({}, toAll(LEARNED));
    for (const name of namesOf(12)) bench.put(name);
    await bench.flow(300 * MINUTE_MS);
    expect(bench.spool.queued).toHaveLength(12);
    expect(bench.controller.state).toBe('unproven');
    for (const posts of postsOf(bench).values()) expect(posts).toBeLessThanOrEqual(MOST_POSTS - 2);
    bench.trainer.plays();
    bench.put('fresh');
    await bench.finish();
    expect(bench.recorder.fieldOf('message.learned', 'proven')).not.toContain(false);
    for (const name of namesOf(12)) {
      expect(postsOf(bench).get(name)).toBeLessThanOrEqual(MOST_POSTS);
    }
    expect(bench.controller.state).toBe('up');
  });

  test('is tried again at once by an order, which counts for nothing', async () => {
    const bench = await DeliveryBench.warm({}, toAll(LEARNED));
    for (const name of ['a', 'b']) bench.put(name);
    await bench.flow(300 * MINUTE_MS);
    const before = bench.trainer.posts.length;
    bench.scheduler.retryNow();
    await bench.flow(300 * MINUTE_MS);
    expect(bench.trainer.posts.length - before).toBeGreaterThan(0);
    expect(bench.trainer.posts.length - before).toBeLessThanOrEqual(4);
    bench.trainer.plays();
    bench.scheduler.retryNow();
    await bench.finish();
    expect(bench.recorder.fieldOf('message.learned', 'proven')).not.toContain(false);
  });
});

describe('eight messages that always get an error', () => {
  const POISON = namesOf(8);

  test.each([
    ['that nobody knows', UNKNOWN_ERROR],
    ['that begins with a word of Redis', NO_REDIS],
  ])('%s go to quarantine, while all others are learned at once', async (_what, error) => {
    const bench = await DeliveryBench.warm({ maxAttempts: 4 }, to(POISON, error));
    for (const name of POISON) bench.put(name);
    await bench.flow(4 * MINUTE_MS);
    let since = bench.clock.monotonic();
    bench.put('first');
    await bench.finishOf('first');
    for (let i = 0; bench.quarantined.length < POISON.length && i < 30; i += 1) {
      expect(bench.clock.monotonic() - since).toBeLessThan(10_000);
      await bench.flow(MINUTE_MS);
      expect(bench.controller.state).toBe('up');
      since = bench.clock.monotonic();
      bench.put(`good-${i}`);
      await bench.finishOf(`good-${i}`);
    }
    expect(bench.quarantined.sort()).toEqual(POISON);
    expect(bench.spool.read('quarantine/spam/m0.json')).toContain('"attempts": 4');
  });
});
