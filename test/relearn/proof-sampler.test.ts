import { describe, expect, test } from 'vitest';
import { DeliveryBench } from '../support/delivery-bench.ts';
import {
  DUPLICATE,
  Holder,
  LEARNED,
  NO_REDIS,
  ScriptedTrainer,
  TOO_SHORT,
  to,
  toAll,
} from '../support/scripted-trainer.ts';

/** A bench that proves every tenth message, with a controller that is up. */
async function upBench(trainer = new ScriptedTrainer()): Promise<DeliveryBench> {
  const bench = new DeliveryBench({ trainers: [trainer], proveEvery: 10, concurrency: 1 });
  await bench.warmUp();
  return bench;
}

function putMany(bench: DeliveryBench, count: number, from = 0): string[] {
  const keys = Array.from({ length: count }, (_, index) => `m${from + index}`);
  for (const key of keys) bench.put(key);
  return keys;
}

describe('of messages that are answered 200', () => {
  test('one in so many is posted again, and all are done with its proof', async () => {
    const bench = await upBench();
    const keys = putMany(bench, 9);
    await bench.flowUntil('nine are acknowledged', () => bench.sampler?.size === 9);
    expect(bench.trainer.names).toEqual(keys);
    expect(bench.spool.queued).toHaveLength(9);
    expect(bench.events.counts.learned).toBe(1);
    bench.put('m9');
    await bench.finish();
    expect(bench.trainer.names).toEqual([...keys, 'm9', 'm9']);
    expect(bench.events.counts.learned).toBe(11);
    expect(bench.sampler?.size).toBe(0);
  });

  test.each([
    ['never proves', 4],
    ['proves late', 2],
  ])(
    'those before one that %s are posted again: they may not be stored either',
    async (_, times) => {
      const bench = await upBench();
      const keys = putMany(bench, 9);
      bench.trainer.plays(to(keys, LEARNED), to('m9', LEARNED, times));
      await bench.flowUntil('nine are acknowledged', () => bench.sampler?.size === 9);
      bench.put('m9');
      await bench.flowUntil('it was posted so often', () => bench.trainer.of('m9').length >= times);
      bench.trainer.plays(to('m9', LEARNED, times - bench.trainer.of('m9').length));
      await bench.flow(60_000);
      bench.proveRest();
      bench.put('other');
      await bench.flow(60_000);
      bench.proveRest();
      await bench.finish();
      expect([...bench.trainer.memory.keys()]).toEqual(expect.arrayContaining([...keys, 'm9']));
    },
  );

  test('the last one is posted again at the end', async () => {
    const bench = await upBench();
    const keys = putMany(bench, 5);
    await bench.flowUntil('they are acknowledged', () => bench.sampler?.size === 5);
    bench.proveRest();
    await bench.finish();
    expect(bench.trainer.names).toEqual([...keys, 'm4']);
    expect(bench.events.counts.learned).toBe(6);
  });

  test('the first one after a recovery is proven', async () => {
    const bench = await upBench();
    bench.trainer.plays(toAll(NO_REDIS));
    bench.put('m0');
    await bench.flowUntil('it is down', () => !bench.controller.isOpen);
    bench.trainer.plays();
    await bench.finish();
    expect(bench.trainer.names.slice(-2)).toEqual(['m0', 'm0']);
    expect(bench.events.counts.learned).toBe(2);
  });

  test('one whose answer took more than a second is proven', async () => {
    const bench = await upBench();
    const holder = new Holder();
    bench.trainer.plays(holder.of('m0'));
    bench.put('m0');
    await bench.flowUntil('it is posted', () => holder.names.length === 1);
    await bench.flow(1_100);
    bench.trainer.plays();
    holder.open(LEARNED);
    await bench.finish();
    expect(bench.events.counts.learned).toBe(2);
  });

  test('a large one is proven at once, and those before it with it', async () => {
    const trainer = new ScriptedTrainer();
    const bench = new DeliveryBench({
      trainers: [trainer],
      proveEvery: 1_000,
      maxBytes: 20_000_000,
    });
    await bench.warmUp();
    bench.put('m0');
    await bench.flowUntil('it is acknowledged', () => bench.sampler?.size === 1);
    bench.put('large', { bytes: 17_000_000 });
    await bench.finish();
    expect(bench.events.counts.learned).toBe(3);
  });

  test('none is disposed of before the proof of a later one', async () => {
    const bench = await upBench();
    putMany(bench, 9);
    await bench.flowUntil('nine are acknowledged', () => bench.sampler?.size === 9);
    // less than until the next scan, which is the daemon's
    await bench.flow(20_000);
    expect(bench.spool.queued).toHaveLength(9);
  });

  test('what came after the proven one waits for the next proof', async () => {
    const bench = await upBench();
    const holder = new Holder();
    putMany(bench, 9);
    await bench.flowUntil('nine are acknowledged', () => bench.sampler?.size === 9);
    // the second post of the tenth is held while others are answered
    let posts = 0;
    bench.trainer.plays((post) => {
      if (post.name !== 'm9') return undefined;
      posts += 1;
      return posts === 1 ? LEARNED : holder.of('m9')(post);
    });
    bench.put('m9');
    await bench.flowUntil('it is being proven', () => holder.names.length === 1);
    holder.open(DUPLICATE);
    await bench.flowUntil('ten are done', () => bench.events.counts.learned === 11);
    putMany(bench, 3, 20);
    await bench.flowUntil('three are acknowledged', () => bench.sampler?.size === 3);
    expect(bench.events.counts.learned).toBe(11);
  });
});

describe('what was acknowledged since the last proof', () => {
  test('is posted again when the controller fails', async () => {
    const bench = await upBench();
    const keys = putMany(bench, 5);
    await bench.flowUntil('they are acknowledged', () => bench.sampler?.size === 5);
    bench.trainer.memory.clear();
    bench.trainer.plays(to('m5', NO_REDIS));
    bench.put('m5');
    await bench.flowUntil('it is down', () => !bench.controller.isOpen);
    expect(bench.sampler?.size).toBe(0);
    bench.trainer.posts.length = 0;
    bench.trainer.plays();
    await bench.flowUntil('all were posted', () => new Set(bench.trainer.names).size === 6);
    bench.proveRest();
    await bench.finish();
    for (const key of keys) expect(bench.trainer.memory.get(key)).toBe('spam');
    expect(bench.events.counts.learned).toBe(7);
  });

  test('is posted again when two messages got no proof', async () => {
    const bench = await upBench();
    const keys = putMany(bench, 8);
    await bench.flowUntil('they are acknowledged', () => bench.sampler?.size === 8);
    bench.trainer.memory.clear();
    bench.trainer.plays(toAll(LEARNED));
    putMany(bench, 2, 8);
    await bench.flowUntil('one is suspicious', () => bench.controller.isSuspected);
    bench.put('m10');
    await bench.flowUntil('it is unproven', () => bench.controller.state === 'unproven');
    bench.trainer.plays();
    await bench.flow(60_000);
    bench.proveRest();
    await bench.finish();
    for (const key of keys) expect(bench.trainer.memory.get(key)).toBe('spam');
    expect(bench.events.counts.learned).toBe(12);
  });

  test('is done with the next proof when one message alone never gets any', async () => {
    const bench = await upBench();
    putMany(bench, 9);
    await bench.flowUntil('they are acknowledged', () => bench.sampler?.size === 9);
    bench.trainer.plays(to('odd', LEARNED));
    bench.put('odd');
    bench.put('next');
    await bench.flowUntil('the others are done', () => bench.events.counts.learned === 11);
    expect(bench.controller.state).toBe('up');
    await bench.flow(600_000);
    for (let round = 0; round < 3; round += 1) {
      bench.put(`again-${round}`);
      await bench.flow(600_000);
      bench.proveRest();
    }
    await bench.finish();
    expect(bench.spool.queued).toEqual([]);
  });

  test('counts as learned when a later post says that it is known', async () => {
    const bench = await upBench();
    putMany(bench, 3);
    await bench.flowUntil('they are acknowledged', () => bench.sampler?.size === 3);
    bench.trainer.plays(to('m3', NO_REDIS));
    bench.put('m3');
    await bench.flowUntil('it is down', () => !bench.controller.isOpen);
    bench.trainer.plays();
    await bench.flowUntil('all were posted', () => bench.trainer.names.length >= 8);
    bench.proveRest();
    await bench.finish();
    expect(bench.events.counts).toMatchObject({ learned: 5, duplicate: 0 });
  });
});

describe('a message that is known or refused', () => {
  test('is done at once, and proves nothing', async () => {
    const bench = await upBench();
    bench.trainer.plays(to('short', TOO_SHORT), to('known', DUPLICATE));
    putMany(bench, 3);
    await bench.flowUntil('they are acknowledged', () => bench.sampler?.size === 3);
    bench.put('short');
    bench.put('known');
    await bench.flowUntil('they are done', () => bench.events.counts.duplicate === 1);
    expect(bench.events.counts).toMatchObject({ learned: 1, refused: 1, duplicate: 1 });
    expect(bench.sampler?.size).toBe(3);
  });
});
