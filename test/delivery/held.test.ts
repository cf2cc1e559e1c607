import { describe, expect, test } from 'vitest';
import { DeliveryBench } from '../support/delivery-bench.ts';
import { HELD, to } from '../support/scripted-trainer.ts';

/** Something in front of rspamd, such as a proxy with a limit on sizes, lets a message not through. */

describe('a message that is held back', () => {
  test('waits ever longer, is told once with the cure, is never charged, and is learned once it is let through', async () => {
    const bench = await DeliveryBench.warm({ maxAttempts: 3 }, to('a', HELD));
    bench.put('a');
    const wait = (times: number): Promise<void> =>
      bench.flowUntil('it is tried again', () => bench.trainer.of('a').length === times, 250);
    const waits: number[] = [];
    for (let times = 1; times < 9; times += 1) {
      await wait(times);
      const since = bench.clock.monotonic();
      await wait(times + 1);
      waits.push(Math.round((bench.clock.monotonic() - since) / 1_000));
    }
    expect(waits).toEqual([15, 30, 60, 120, 240, 300, 300, 300]);
    expect(bench.quarantined).toEqual([]);
    expect(bench.recorder.of('message.deferred')).toMatchObject([
      {
        message: expect.stringContaining(HELD.hint) as string,
        fields: { file: 'a', reason: HELD.reason, cure: HELD.hint, charges: 0 },
      },
    ]);
    bench.trainer.plays();
    await bench.finish(250);
    expect(bench.events.counts).toMatchObject({ learned: 2, quarantined: 0 });
  });

  test('for its class is told of the controller, at most once a minute for all messages', async () => {
    const bench = await DeliveryBench.warm({ concurrency: 2 });
    const news = Array.from({ length: 20 }, (_, index) => `news${index}`);
    bench.trainer.plays(to(news, { ...HELD, isOfClass: true }));
    for (const key of news) bench.put(key);
    bench.put('other');
    await bench.flowUntil('it is learned', () => bench.events.counts.learned === 2);
    expect(bench.controller.state).toBe('up');
    expect(bench.recorder.of('message.deferred')).toEqual([]);
    const told = bench.recorder.of('controller.misconfigured');
    expect(told).toHaveLength(1);
    expect(told[0]?.fields).toMatchObject({ reason: HELD.reason, cure: HELD.hint });
    await bench.flow(600_000);
    expect([...bench.controller.heldBack]).toEqual([['spam', HELD.reason]]);
    expect(bench.recorder.of('controller.misconfigured').length).toBeLessThan(11);
    expect(bench.quarantined).toEqual([]);
    bench.trainer.plays();
    await bench.finish(250);
    expect(bench.events.counts).toMatchObject({ learned: 22, quarantined: 0 });
    expect([...bench.controller.heldBack]).toEqual([]);
  });

  test('for some time only waits so long, and nobody is told', async () => {
    const bench = await DeliveryBench.warm(
      { maxAttempts: 2 },
      to('a', { ...HELD, waitMs: 70_000 }, 3),
    );
    bench.put('a');
    await bench.flowUntil('it is tried', () => bench.trainer.of('a').length === 1, 250);
    const since = bench.clock.monotonic();
    await bench.finish(250);
    expect(Math.round((bench.clock.monotonic() - since) / 10_000)).toBe(21);
    expect(bench.recorder.of('message.deferred')).toEqual([]);
    expect(bench.recorder.of('controller.misconfigured')).toEqual([]);
    expect(bench.events.counts).toMatchObject({ learned: 2, quarantined: 0 });
  });

  test('holds nobody else back, and its controller stays up', async () => {
    const bench = await DeliveryBench.warm({ concurrency: 2 });
    const large = Array.from({ length: 20 }, (_, index) => `large${index}`);
    bench.trainer.plays(to(large, HELD));
    for (const key of large) bench.put(key);
    bench.put('small');
    const since = bench.clock.monotonic();
    await bench.flowUntil('it is learned', () => bench.events.counts.learned === 2);
    expect(bench.clock.monotonic() - since).toBeLessThan(1_000);
    expect(bench.controller.state).toBe('up');
    expect(bench.recorder.of('controller.down')).toEqual([]);
  });
});
