import { describe, expect, test } from 'vitest';
import type { ManualClock } from '../support/manual-clock.ts';
import { DeliveryBench } from '../support/delivery-bench.ts';
import { toAll, tooFast } from '../support/scripted-trainer.ts';
import type { Rule } from '../support/scripted-trainer.ts';

/** So many names. */
function namesOf(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`);
}

/** Lets a post through every so many milliseconds, as nginx's limit_req does without a burst. */
function limits(clock: ManualClock, everyMs: number): Rule & { refused: number } {
  let nextAt = 0;
  const rule = Object.assign(
    () => {
      const now = clock.monotonic();
      if (now < nextAt) {
        rule.refused += 1;
        return tooFast();
      }
      nextAt = now + everyMs;
      return undefined;
    },
    { refused: 0 },
  );
  return rule;
}

async function limitedBench(everyMs: number): Promise<[DeliveryBench, { refused: number }]> {
  const bench = await DeliveryBench.warm();
  const rule = limits(bench.clock, everyMs);
  bench.trainer.plays(rule);
  return [bench, rule];
}

describe('a proxy that limits the rate', () => {
  test.each([20, 100, 1_000])('to a post in %d ms has all of it learned', async (everyMs) => {
    const [bench, rule] = await limitedBench(everyMs);
    for (const key of namesOf('m', 100)) bench.put(key);
    const since = bench.clock.monotonic();
    await bench.finish(everyMs / 20);
    expect(bench.events.counts).toMatchObject({ learned: 101, quarantined: 0 });
    expect(bench.controller.state).toBe('up');
    expect(bench.recorder.of('controller.down')).toEqual([]);
    expect(bench.recorder.of('message.deferred')).toEqual([]);
    // Two posts a message: not much slower than it is allowed, and few in vain.
    expect(bench.clock.monotonic() - since).toBeLessThan(200 * everyMs * 2.5 + 5_000);
    expect(rule.refused).toBeLessThan(40);
  });

  test('is posted to at full speed again once it limits nothing any more', async () => {
    const [bench] = await limitedBench(1_000);
    for (const key of namesOf('m', 20)) bench.put(key);
    await bench.finish(20);
    bench.trainer.plays();
    for (const key of namesOf('n', 200)) bench.put(key);
    await bench.finish(20);
    const since = bench.clock.monotonic();
    for (const key of namesOf('o', 100)) bench.put(key);
    await bench.finish();
    expect(bench.clock.monotonic() - since).toBeLessThan(1_000);
  });

  test('is left alone for as long as it says', async () => {
    const bench = await DeliveryBench.warm({}, toAll(tooFast(20_000), 1));
    bench.put('a');
    bench.put('b');
    const since = bench.clock.monotonic();
    await bench.flowUntil('it is posted again', () => bench.trainer.posts.length > 2, 100);
    expect(bench.clock.monotonic() - since).toBeGreaterThanOrEqual(20_000);
    await bench.finish(20);
    expect(bench.controller.state).toBe('up');
  });

  test('and lets nothing through at all is an outage, and nobody’s attempt', async () => {
    const bench = await DeliveryBench.warm({}, toAll(tooFast()));
    for (const key of namesOf('m', 5)) bench.put(key);
    await bench.flowUntil('it is down', () => bench.controller.state === 'down', 100);
    await bench.flow(3_600_000);
    expect(bench.trainer.posts.length).toBeLessThan(60);
    expect(bench.quarantined).toEqual([]);
    bench.trainer.plays();
    await bench.finish(250);
    expect(bench.events.counts).toMatchObject({ learned: 6 });
  });
});
