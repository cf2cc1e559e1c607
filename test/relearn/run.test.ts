import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { sleep } from '../../src/clock.ts';
import { Journal } from '../../src/relearn/journal.ts';
import type { Source } from '../../src/relearn/sources/source.ts';
import { RelearnBench, begin, namesOf, sourceOf } from '../support/relearn-bench.ts';
import type { RelearnBenchOptions } from '../support/relearn-bench.ts';
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
import type { Rule } from '../support/scripted-trainer.ts';
import { temporaryFolder } from '../support/temporary.ts';

/** A source of spam: `s0` and so on. */
function spam(count: number): Source[] {
  return [sourceOf('spam', namesOf('s', count))];
}

/** A run that has begun, when some of its messages are learned. */
async function underWay(
  count: number,
  options: Omit<RelearnBenchOptions, 'sources'> = {},
): Promise<RelearnBench> {
  const bench = begin(spam(count), options);
  await bench.until('some are learned', () => bench.stats.total('learned') >= 20);
  return bench;
}

function twoTrainers(...rules: readonly Rule[]): [ScriptedTrainer, ScriptedTrainer] {
  const trainers: [ScriptedTrainer, ScriptedTrainer] = [
    new ScriptedTrainer('http://one:1'),
    new ScriptedTrainer('http://two:2'),
  ];
  trainers[1].plays(...rules);
  return trainers;
}

describe('a run', () => {
  test('learns all that its sources hold, and is then complete', async () => {
    const ham = namesOf('h', 50);
    const bench = begin([...spam(35), sourceOf('ham', ham)]);
    expect(await bench.finish()).toBe('complete');
    expect(bench.stats.counts.learned).toEqual({ spam: 35, ham: 50 });
    expect(bench.left).toEqual([]);
    for (const name of namesOf('s', 35)) expect(bench.trainer.memory.get(name)).toBe('spam');
    for (const name of ham) expect(bench.trainer.memory.get(name)).toBe('ham');
  });

  test.each([
    ['hardly more than once', 1_000, 100, 1_010, 1_013],
    ['twice when each is to be proven', 50, 1, 100, 100],
    ['never when there is none', 0, 100, 0, 0],
  ])('posts each message %s', async (_often, count, proveEvery, least, most) => {
    const bench = begin(spam(count), { proveEvery });
    expect(await bench.finish()).toBe('complete');
    expect(bench.trainer.posts.length).toBeGreaterThanOrEqual(least);
    expect(bench.trainer.posts.length).toBeLessThanOrEqual(most);
  });

  test('that goes well is never given up, however short the wait is', async () => {
    const bench: RelearnBench = begin(
      spam(60),
      { proveEvery: 25, waitMs: 0 },
      to('s59', LEARNED, 1),
      // what is posted again at the end takes its time
      to('s59', async () => {
        await sleep(bench.clock, 2_000);
        return DUPLICATE;
      }),
    );
    expect(await bench.finish(20)).toBe('complete');
    expect(bench.stats.counts.learned.spam).toBe(60);
  });

  test.each([
    ['than so many messages', 's', 20],
    ['than so many bytes', 'large', 7],
  ])('reads no further ahead of what it posts %s', async (_what, name, most) => {
    const source = sourceOf('spam', namesOf(name, 10_000));
    const holder = new Holder();
    const bench = begin([source], {}, holder.of());
    await bench.untilHeld(holder);
    await bench.clock.flow(1_000, 5);
    expect(source.taken).toBeLessThan(most);
    bench.stop.abort();
    await bench.finish(50);
  });

  test('notes what needs no further post, and nothing else', async () => {
    const path = join(temporaryFolder(), 'journal');
    const sources = { spam: ['/s'], ham: [] };
    const journal = await Journal.open(path, sources);
    const rules = [to('s1', LEARNED), to('s2', TOO_SHORT), to('s3', TOO_LARGE)];
    const bench = begin(spam(9), { journal, proveEvery: 1 }, ...rules);
    expect(await bench.finish(20)).toBe('complete');
    await journal.close();
    const done = await Journal.peek(path, sources);
    expect(namesOf('s', 5).filter(done)).toEqual(['s0', 's2', 's4']);
  });

  test('stops at its limit, and has everything proven', async () => {
    const bench = begin([...spam(100), sourceOf('ham', namesOf('h', 100))], { limit: 25 });
    expect(await bench.finish()).toBe('limited');
    expect(bench.stats.total('learned')).toBe(25);
    expect(bench.left.length).toBe(0);
  });

  test('counts what is known, refused and failed with its reason', async () => {
    const bench = begin(spam(20), {}, to('s5', TOO_SHORT), to('s7', TOO_LARGE));
    bench.trainer.memory.set('s3', 'spam');
    expect(await bench.finish()).toBe('complete');
    expect(bench.stats.counts).toMatchObject({
      learned: { spam: 17 },
      known: { spam: 1 },
      refused: { spam: 1 },
      failed: { spam: 1 },
    });
    expect(bench.failed).toMatchObject([{ place: 's7' }]);
    expect(bench.failed[0]?.reason).toContain('413');
  });
});

describe('a message that rspamd can’t take', () => {
  test.each([
    ['on which rspamd crashes', ['s30'], NO_ANSWER],
    ['with an error that nobody knows', ['s29', 's30'], UNKNOWN_ERROR],
    ['with an error that begins with a word of Redis', ['s29', 's30'], NO_REDIS],
  ])('%s fails for good, and all others are learned', async (_what, names, outcome) => {
    const bench = begin(spam(60), {}, to(names, outcome));
    expect(await bench.finish(20)).toBe('complete');
    if (outcome !== NO_ANSWER) expect(bench.clock.monotonic()).toBeLessThan(30_000);
    expect(bench.stats.counts.learned.spam).toBe(60 - names.length);
    expect(bench.failed.map(({ place }) => place).sort()).toEqual(names);
  });

  test('with an error is left over when no other comes to compare it with', async () => {
    const bench = begin(spam(60), {}, to('s59', UNKNOWN_ERROR));
    expect(await bench.finish(50)).toBe('away');
    expect(bench.stats.counts.learned.spam).toBe(59);
    expect(bench.left).toEqual(['s59']);
  });
});

test('messages that a proxy holds back are posted once, and named with the cure', async () => {
  const bench = begin(spam(60), { waitMs: 0 }, to(['s0', 's30', 's59'], HELD));
  expect(await bench.finish(20)).toBe('complete');
  expect(bench.stats.counts).toMatchObject({
    learned: { spam: 57 },
    failed: { spam: 0 },
    heldBack: { spam: 3 },
  });
  expect(bench.stats.names.heldBack).toContainEqual({ place: 's30', reason: HELD.reason });
  expect(bench.stats.cure).toBe(HELD.hint);
  expect(bench.trainer.of('s30')).toHaveLength(1);
  expect(bench.left).toEqual([]);
});

describe('a message that rspamd never remembers', () => {
  test.each([
    ['in the middle', 100, 30, 10],
    ['in the middle, each being proven', 100, 30, 1],
    ['at the end', 100, 99, 10],
    ['at the end, each being proven', 100, 99, 1],
    ['as the only one', 1, 0, 10],
  ])(
    '%s is learned all the same, and keeps nobody waiting',
    async (_, count, index, proveEvery) => {
      // One by one, so that the last message is acknowledged last.
      const bench = begin(spam(count), { proveEvery, concurrency: 1 }, to(`s${index}`, LEARNED));
      expect(await bench.finish(20)).toBe('complete');
      expect(bench.clock.monotonic()).toBeLessThan(30_000);
      expect(bench.stats.counts.learned.spam).toBe(count);
      expect(bench.trainer.of(`s${index}`).length).toBeLessThan(20);
      expect(bench.stats.names.learned.map(({ place }) => place)).toEqual([`s${index}`]);
    },
  );

  test('is learned all the same while another controller is away', async () => {
    const bench = begin(spam(50), { trainers: twoTrainers(to('s49', LEARNED)) }, toAll(REFUSES));
    expect(await bench.finish(20)).toBe('complete');
    expect(bench.stats.counts.learned.spam).toBe(50);
    // All of it went to the other one.
    expect(bench.trainer.memory.size).toBe(0);
  });

  test.each([
    [8, 300_000],
    [12, 40_000_000],
  ])('is no reason to believe a controller that remembers none of %i', async (count, waitMs) => {
    const bench = begin(spam(count), { waitMs }, toAll(LEARNED));
    expect(await bench.finish(waitMs / 10_000)).toBe('away');
    expect(bench.stats.total('learned')).toBe(0);
  });
});

describe('an outage', () => {
  test('in the middle is waited for; what was not proven is posted again', async () => {
    const bench = await underWay(100);
    bench.trainer.plays(toAll(NO_REDIS));
    // whatever was not proven is lost there
    for (const name of [...bench.trainer.memory.keys()]) {
      if (bench.left.includes(name)) bench.trainer.memory.delete(name);
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
    const bench = begin(spam(100), { waitMs: 60_000 }, toAll(REFUSES));
    expect(await bench.finish(50)).toBe('away');
    expect(bench.clock.monotonic()).toBeGreaterThanOrEqual(60_000);
    expect(bench.clock.monotonic()).toBeLessThan(90_000);
    expect(bench.left.length).toBeGreaterThan(0);
  });

  test('from the start is waited for shortly, until rspamd has answered once', async () => {
    const never = begin(spam(9), { waitMs: undefined }, toAll(REFUSES));
    expect(await never.finish(50)).toBe('away');
    expect(never.clock.monotonic()).toBeGreaterThanOrEqual(10_000);
    expect(never.clock.monotonic()).toBeLessThan(15_000);
    const trainer = new ScriptedTrainer();
    trainer.version = '3.12.1';
    const heard = begin(spam(9), { waitMs: undefined, trainers: [trainer] }, toAll(REFUSES));
    expect(await heard.finish(50)).toBe('away');
    expect(heard.clock.monotonic()).toBeGreaterThanOrEqual(300_000);
  });

  test('of one of two controllers, which freezes, is waited for no longer than may be', async () => {
    const bench = await underWay(200, { trainers: twoTrainers(), waitMs: 60_000 });
    bench.trainer.plays(toAll(NO_ANSWER));
    // what the frozen one was sent must not go to the other one; it may wake
    expect(await bench.finish(100)).toBe('away');
    expect(bench.clock.monotonic()).toBeLessThan(120_000);
    expect(bench.left.length).toBeGreaterThan(0);
    expect(bench.left.length).toBeLessThan(10);
  });

  test('in which 200 means nothing posts all of it again, and says so', async () => {
    const bench = await underWay(100);
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
    const bench = begin(spam(100), {}, toAll(WRONG_PASSWORD));
    expect(await bench.finish()).toBe('misconfigured');
    expect(bench.clock.monotonic()).toBeLessThan(5_000);
    expect(bench.trainer.posts).toHaveLength(1);
  });

  test('later is waited for, because somebody may be at work there', async () => {
    const bench = await underWay(100);
    bench.trainer.plays(toAll(WRONG_PASSWORD));
    await bench.clock.flow(30_000, 50);
    expect(bench.ending).toBeUndefined();
    bench.trainer.plays();
    expect(await bench.finish(100)).toBe('complete');
  });
});

describe('a stop', () => {
  test('posts nothing new, and proves what was acknowledged', async () => {
    const bench = await underWay(10_000);
    bench.stop.abort();
    expect(await bench.finish()).toBe('interrupted');
    expect(bench.left.length).toBe(0);
    expect(bench.stats.total('learned')).toBe(bench.trainer.memory.size);
    expect(bench.stats.total('learned')).toBeLessThan(200);
  });

  test('waits for a hanging post no longer than it may', async () => {
    const bench = await underWay(100);
    const holder = new Holder();
    bench.trainer.plays(holder.of());
    await bench.until('one hangs', () => holder.names.length > 0);
    const before = bench.clock.monotonic();
    bench.stop.abort();
    expect(await bench.finish(20)).toBe('interrupted');
    expect(bench.clock.monotonic() - before).toBeLessThan(6_000);
    expect(bench.left.length).toBeGreaterThan(0);
  });

  test('does not wait for a source that says nothing', async () => {
    const silent = sourceOf('spam', []);
    silent.read = async function* () {
      yield await new Promise<never>(() => undefined);
    };
    const bench = begin([silent]);
    await bench.clock.flow(1_000, 100);
    bench.stop.abort();
    expect(await bench.finish()).toBe('interrupted');
  });

  test('during an outage is over at once', async () => {
    const bench = begin(spam(100), {}, toAll(REFUSES));
    await bench.until('it is noticed', () => bench.recorder.of('controller.down').length > 0);
    const before = bench.clock.monotonic();
    bench.stop.abort();
    expect(await bench.finish()).toBe('interrupted');
    expect(bench.clock.monotonic() - before).toBeLessThan(1_000);
  });

  test('before the start posts nothing', async () => {
    const bench = new RelearnBench({ sources: spam(100) });
    bench.stop.abort();
    bench.start();
    expect(await bench.finish()).toBe('interrupted');
    expect(bench.trainer.posts).toEqual([]);
  });
});
