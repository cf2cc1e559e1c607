import { describe, expect, test } from 'vitest';
import { sleep } from '../../src/clock.ts';
import { RelearnBench, namesOf, sourceOf } from '../support/relearn-bench.ts';
import {
  DUPLICATE,
  HELD,
  Holder,
  LEARNED,
  NO_ANSWER,
  NO_REDIS,
  REFUSES,
  ScriptedTrainer,
  TOO_LARGE,
  TOO_SHORT,
  UNKNOWN_ERROR,
  WRONG_PASSWORD,
  to,
  toAll,
} from '../support/scripted-trainer.ts';

describe('a run', () => {
  test('learns all that its sources hold, and is then complete', async () => {
    const [spam, ham] = [namesOf('s', 35), namesOf('h', 50)];
    const bench = new RelearnBench({ sources: [sourceOf('spam', spam), sourceOf('ham', ham)] });
    bench.start();
    expect(await bench.finish()).toBe('complete');
    expect(bench.stats.counts.learned).toEqual({ spam: 35, ham: 50 });
    expect(bench.store.size).toBe(0);
    expect(bench.store.bytes).toBe(0);
    for (const name of spam) expect(bench.trainer.memory.get(name)).toBe('spam');
    for (const name of ham) expect(bench.trainer.memory.get(name)).toBe('ham');
  });

  test('posts hardly more than once a message', async () => {
    const bench = new RelearnBench({
      sources: [sourceOf('spam', namesOf('s', 1_000))],
      proveEvery: 100,
    });
    bench.start();
    await bench.finish();
    expect(bench.trainer.posts.length).toBeLessThanOrEqual(1_000 + 13);
    expect(bench.trainer.posts.length).toBeGreaterThanOrEqual(1_000 + 10);
  });

  test('posts every message twice when each is to be proven', async () => {
    const bench = new RelearnBench({
      sources: [sourceOf('spam', namesOf('s', 50))],
      proveEvery: 1,
    });
    bench.start();
    await bench.finish();
    expect(bench.trainer.posts).toHaveLength(100);
  });

  test('that goes well is never given up, however short the wait is', async () => {
    const bench = new RelearnBench({
      sources: [sourceOf('spam', namesOf('s', 60))],
      proveEvery: 25,
      waitMs: 0,
    });
    // what is posted again at the end takes its time
    bench.trainer.plays(
      to('s59', LEARNED, 1),
      to('s59', async () => {
        await sleep(bench.clock, 2_000);
        return DUPLICATE;
      }),
    );
    bench.start();
    expect(await bench.finish(20)).toBe('complete');
    expect(bench.stats.counts.learned.spam).toBe(60);
  });

  test('of no message at all is complete', async () => {
    const bench = new RelearnBench({ sources: [sourceOf('spam', [])] });
    bench.start();
    expect(await bench.finish()).toBe('complete');
    expect(bench.trainer.posts).toEqual([]);
  });

  test('reads no further ahead than it posts', async () => {
    const source = sourceOf('spam', namesOf('s', 10_000));
    const bench = new RelearnBench({ sources: [source] });
    const holder = new Holder();
    bench.trainer.plays(holder.of());
    bench.start();
    await bench.until('one is posted', () => holder.names.length === 1);
    for (let turn = 0; turn < 100; turn += 1) await bench.clock.flow(5);
    expect(source.taken).toBeLessThan(20);
    holder.open();
    bench.stop.abort();
    await bench.finish();
  });

  test('stops at its limit, and has everything proven', async () => {
    const bench = new RelearnBench({
      sources: [sourceOf('spam', namesOf('s', 100)), sourceOf('ham', namesOf('h', 100))],
      limit: 25,
    });
    bench.start();
    expect(await bench.finish()).toBe('limited');
    expect(bench.stats.total('learned')).toBe(25);
    expect(bench.store.size).toBe(0);
  });

  test('counts what is known, refused and failed with its reason', async () => {
    const bench = new RelearnBench({ sources: [sourceOf('ham', namesOf('h', 20))] });
    bench.trainer.memory.set('h3', 'ham');
    bench.trainer.plays(to('h5', TOO_SHORT), to('h7', TOO_LARGE));
    bench.start();
    expect(await bench.finish()).toBe('complete');
    expect(bench.stats.counts).toMatchObject({
      learned: { ham: 17 },
      duplicate: { ham: 1 },
      refused: { ham: 1 },
      failed: { ham: 1 },
    });
    expect(bench.failed).toMatchObject([{ place: 'h7' }]);
    expect(bench.failed[0]?.reason).toContain('413');
  });
});

describe('a message that rspamd can’t take', () => {
  test('because rspamd crashes on it fails for good, and all others are learned', async () => {
    const bench = new RelearnBench({ sources: [sourceOf('spam', namesOf('s', 60))] });
    bench.trainer.plays(to('s30', NO_ANSWER));
    bench.start();
    expect(await bench.finish(20)).toBe('complete');
    expect(bench.stats.counts.learned.spam).toBe(59);
    expect(bench.failed.map(({ place }) => place)).toEqual(['s30']);
  });

  test.each([
    ['that nobody knows', UNKNOWN_ERROR],
    ['that begins with a word of Redis', NO_REDIS],
  ])('because of an error %s fails for good, and all others are learned', async (_what, error) => {
    const bench = new RelearnBench({ sources: [sourceOf('spam', namesOf('s', 60))] });
    bench.trainer.plays(to(['s29', 's30'], error));
    bench.start();
    expect(await bench.finish(20)).toBe('complete');
    expect(bench.clock.monotonic()).toBeLessThan(30_000);
    expect(bench.stats.counts.learned.spam).toBe(58);
    expect(bench.failed.map(({ place }) => place).sort()).toEqual(['s29', 's30']);
  });

  test('because of an error is left over when no other comes to compare it with', async () => {
    const bench = new RelearnBench({ sources: [sourceOf('spam', namesOf('s', 60))] });
    bench.trainer.plays(to('s59', UNKNOWN_ERROR));
    bench.start();
    expect(await bench.finish(50)).toBe('failing');
    expect(bench.stats.counts.learned.spam).toBe(59);
    expect([...bench.store.places()]).toEqual(['s59']);
  });

  test('because of an error that nobody knows fails for good while others come', async () => {
    const bench = new RelearnBench({
      sources: [sourceOf('spam', namesOf('s', 60)), sourceOf('ham', namesOf('h', 30_000))],
    });
    bench.trainer.plays(to('s30', UNKNOWN_ERROR));
    bench.start();
    await bench.until('it has failed', () => bench.failed.length === 1, 20);
    expect(bench.failed.map(({ place }) => place)).toEqual(['s30']);
    bench.stop.abort();
    await bench.finish();
  });
});

describe('messages that a proxy holds back', () => {
  test('are posted once, named with the cure, and don’t keep the run from its end', async () => {
    const names = namesOf('s', 60);
    const bench = new RelearnBench({ sources: [sourceOf('spam', names)], waitMs: 0 });
    bench.trainer.plays(to(['s0', 's30', 's59'], HELD));
    bench.start();
    expect(await bench.finish(20)).toBe('complete');
    expect(bench.stats.counts).toMatchObject({
      learned: { spam: 57 },
      failed: { spam: 0 },
      deferred: { spam: 3 },
    });
    expect(bench.stats.names.deferred).toContainEqual({ place: 's30', reason: HELD.reason });
    expect(bench.stats.cure).toBe(HELD.hint);
    expect(bench.trainer.of('s30')).toHaveLength(1);
    expect([bench.store.size, bench.store.bytes]).toEqual([0, 0]);
  });
});

describe('a message that rspamd never remembers', () => {
  test.each([
    ['in the middle', 30, 10],
    ['in the middle, each being proven', 30, 1],
    ['at the end', 99, 10],
    ['at the end, each being proven', 99, 1],
    ['as the only one', 0, 10],
  ])('%s is learned all the same, and keeps nobody waiting', async (_, index, proveEvery) => {
    const names = [...namesOf('s', index === 0 ? 1 : 100)];
    const bench = new RelearnBench({ sources: [sourceOf('spam', names)], proveEvery });
    bench.trainer.plays(to(`s${index}`, LEARNED));
    bench.start();
    expect(await bench.finish(20)).toBe('complete');
    expect(bench.clock.monotonic()).toBeLessThan(30_000);
    expect(bench.stats.counts.learned.spam).toBe(names.length);
    expect(bench.trainer.of(`s${index}`).length).toBeLessThan(20);
    expect(bench.stats.names.learned.map(({ place }) => place)).toEqual([`s${index}`]);
  });

  test('is learned all the same when rspamd was away before', async () => {
    const bench = new RelearnBench({ sources: [sourceOf('spam', ['s0'])] });
    bench.trainer.plays(toAll(NO_REDIS, 3), toAll(LEARNED));
    bench.start();
    expect(await bench.finish(20)).toBe('complete');
    expect(bench.clock.monotonic()).toBeLessThan(100_000);
  });

  test('is learned all the same while another controller is away', async () => {
    const trainers = [new ScriptedTrainer('http://one:1'), new ScriptedTrainer('http://two:2')];
    trainers[0]?.plays(toAll(REFUSES));
    trainers[1]?.plays(to('s49', LEARNED));
    const bench = new RelearnBench({ trainers, sources: [sourceOf('spam', namesOf('s', 50))] });
    bench.start();
    expect(await bench.finish(20)).toBe('complete');
    expect(bench.stats.counts.learned.spam).toBe(50);
  });

  test('is no reason to believe a controller that remembers nothing', async () => {
    const bench = new RelearnBench({ sources: [sourceOf('spam', namesOf('s', 8))] });
    bench.trainer.plays(toAll(LEARNED));
    bench.start();
    expect(await bench.finish(20)).toBe('away');
    expect(bench.stats.total('learned')).toBe(0);
  });
});

describe('an outage', () => {
  test('in the middle is waited for; what was not proven is posted again', async () => {
    const bench = new RelearnBench({ sources: [sourceOf('spam', namesOf('s', 100))] });
    bench.start();
    await bench.until('some are learned', () => bench.stats.total('learned') >= 20);
    bench.trainer.plays(toAll(NO_REDIS));
    // whatever was not proven is lost there
    for (const name of [...bench.trainer.memory.keys()]) {
      if (!bench.ended.includes(name)) bench.trainer.memory.delete(name);
    }
    await bench.clock.flow(100_000, 100);
    expect(bench.ending).toBeUndefined();
    expect(bench.recorder.of('controller.down').length).toBeGreaterThan(0);
    bench.trainer.plays();
    expect(await bench.finish(50)).toBe('complete');
    expect(bench.stats.counts.learned.spam).toBe(100);
    expect(bench.trainer.memory.size).toBe(100);
  });

  test('that lasts longer than the longest wait ends it', async () => {
    const bench = new RelearnBench({
      sources: [sourceOf('spam', namesOf('s', 100))],
      waitMs: 60_000,
    });
    bench.trainer.plays(toAll(REFUSES));
    bench.start();
    expect(await bench.finish(50)).toBe('away');
    expect(bench.clock.monotonic()).toBeGreaterThan(60_000);
    expect(bench.clock.monotonic()).toBeLessThan(90_000);
    expect(bench.store.size).toBeGreaterThan(0);
  });

  test('of one of two controllers sends all to the other', async () => {
    const trainers = [new ScriptedTrainer('http://one:1'), new ScriptedTrainer('http://two:2')];
    trainers[0]?.plays(toAll(REFUSES));
    const bench = new RelearnBench({ trainers, sources: [sourceOf('spam', namesOf('s', 50))] });
    bench.start();
    expect(await bench.finish()).toBe('complete');
    expect(bench.stats.counts.learned.spam).toBe(50);
    expect(trainers[1]?.memory.size).toBe(50);
  });

  test('of one of two controllers, which freezes, is waited for no longer than may be', async () => {
    const trainers = [new ScriptedTrainer('http://one:1'), new ScriptedTrainer('http://two:2')];
    const bench = new RelearnBench({
      trainers,
      sources: [sourceOf('spam', namesOf('s', 200))],
      waitMs: 60_000,
    });
    bench.start();
    await bench.until('some are learned', () => bench.stats.total('learned') >= 20);
    trainers[0]?.plays(toAll(NO_ANSWER));
    // what the frozen one was sent must not go to the other one; it may wake
    expect(await bench.finish(100)).toBe('away');
    expect(bench.clock.monotonic()).toBeLessThan(120_000);
    expect(bench.store.size).toBeGreaterThan(0);
    expect(bench.store.size).toBeLessThan(10);
  });

  test('in which 200 means nothing posts all of it again, and says so', async () => {
    const bench = new RelearnBench({ sources: [sourceOf('spam', namesOf('s', 100))] });
    bench.start();
    await bench.until('some are learned', () => bench.stats.total('learned') >= 20);
    const lost = new Set<string>();
    bench.trainer.plays((post) => {
      lost.add(post.name);
      return LEARNED;
    });
    await bench.until('it is noticed', () => bench.recorder.of('controller.unproven').length > 0);
    bench.trainer.plays();
    expect(await bench.finish(50)).toBe('complete');
    expect(bench.stats.counts.learned.spam).toBe(100);
    for (const name of lost) expect(bench.trainer.memory.get(name)).toBe('spam');
  });
});

describe('a wrong setting', () => {
  test('from the start ends the run at once', async () => {
    const bench = new RelearnBench({ sources: [sourceOf('spam', namesOf('s', 100))] });
    bench.trainer.plays(toAll(WRONG_PASSWORD));
    bench.start();
    expect(await bench.finish()).toBe('misconfigured');
    expect(bench.clock.monotonic()).toBeLessThan(5_000);
    expect(bench.trainer.posts).toHaveLength(1);
  });

  test('later is waited for, because somebody may be at work there', async () => {
    const bench = new RelearnBench({ sources: [sourceOf('spam', namesOf('s', 100))] });
    bench.start();
    await bench.until('some are learned', () => bench.stats.total('learned') >= 20);
    bench.trainer.plays(toAll(WRONG_PASSWORD));
    await bench.clock.flow(30_000, 50);
    expect(bench.ending).toBeUndefined();
    bench.trainer.plays();
    expect(await bench.finish(100)).toBe('complete');
  });
});

describe('a stop', () => {
  test('posts nothing new, and proves what was acknowledged', async () => {
    const bench = new RelearnBench({ sources: [sourceOf('spam', namesOf('s', 10_000))] });
    bench.start();
    await bench.until('some are learned', () => bench.stats.total('learned') >= 20);
    bench.stop.abort();
    expect(await bench.finish()).toBe('interrupted');
    expect(bench.store.size).toBe(0);
    expect(bench.stats.total('learned')).toBe(bench.trainer.memory.size);
    expect(bench.stats.total('learned')).toBeLessThan(200);
  });

  test('waits for a hanging post no longer than it may', async () => {
    const bench = new RelearnBench({ sources: [sourceOf('spam', namesOf('s', 100))] });
    bench.start();
    await bench.until('some are learned', () => bench.stats.total('learned') >= 20);
    const holder = new Holder();
    bench.trainer.plays(holder.of());
    await bench.until('one hangs', () => holder.names.length > 0);
    const before = bench.clock.monotonic();
    bench.stop.abort();
    expect(await bench.finish(20)).toBe('interrupted');
    expect(bench.clock.monotonic() - before).toBeLessThan(6_000);
    expect(bench.store.size).toBeGreaterThan(0);
  });

  test('does not wait for a source that says nothing', async () => {
    const silent = sourceOf('spam', []);
    silent.read = async function* () {
      await new Promise(() => undefined);
      yield { kind: 'failed', place: 'never', reason: 'never' };
    };
    const bench = new RelearnBench({ sources: [silent] });
    bench.start();
    await bench.clock.flow(1_000, 100);
    bench.stop.abort();
    expect(await bench.finish()).toBe('interrupted');
  });

  test('during an outage is over at once', async () => {
    const bench = new RelearnBench({ sources: [sourceOf('spam', namesOf('s', 100))] });
    bench.trainer.plays(toAll(REFUSES));
    bench.start();
    await bench.until('it is noticed', () => bench.recorder.of('controller.down').length > 0);
    const before = bench.clock.monotonic();
    bench.stop.abort();
    expect(await bench.finish()).toBe('interrupted');
    expect(bench.clock.monotonic() - before).toBeLessThan(1_000);
  });

  test('before the start posts nothing', async () => {
    const bench = new RelearnBench({ sources: [sourceOf('spam', namesOf('s', 100))] });
    bench.stop.abort();
    bench.start();
    expect(await bench.finish()).toBe('interrupted');
    expect(bench.trainer.posts).toEqual([]);
  });
});
