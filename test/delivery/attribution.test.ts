import fc from 'fast-check';
import { appendFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { sleep } from '../../src/clock.ts';
import { DeliveryBench } from '../support/delivery-bench.ts';
import {
  DUPLICATE,
  LEARNED,
  NO_ANSWER,
  NO_REDIS,
  REFUSES,
  UNKNOWN_ERROR,
  UNREACHABLE,
  WRONG_PASSWORD,
  WRONG_PORT,
  to,
  toAll,
} from '../support/scripted-trainer.ts';
import type { Post, Rule } from '../support/scripted-trainer.ts';

const MAX_ATTEMPTS = 3;

/** A bench whose controller is up; its messages will fail so. */
function warmBench(...rules: readonly Rule[]): Promise<DeliveryBench> {
  return DeliveryBench.warm({ maxAttempts: MAX_ATTEMPTS }, ...rules);
}

/** How often messages were charged, by name, as the log says. */
function chargesOf(bench: DeliveryBench): Record<string, number> {
  const charges: Record<string, number> = {};
  for (const { fields } of bench.recorder.of('message.deferred')) {
    const count = Number(fields['charges']);
    if (count > 0) charges[String(fields['file'])] = count;
  }
  return charges;
}

/** Lets other messages come, one after the other, until so many lie in quarantine. */
async function others(bench: DeliveryBench, quarantined = 1, everyMs = 70_000): Promise<void> {
  for (let i = 0; bench.quarantined.length < quarantined; i += 1) {
    expect(i).toBeLessThan(20);
    await bench.flow(everyMs);
    bench.put(`other-${i}`);
    const since = bench.clock.monotonic();
    await bench.finishOf(`other-${i}`);
    expect(bench.clock.monotonic() - since).toBeLessThan(1_000);
  }
}

/** A worker that a message crashes: what is in flight with it gets no answer either. */
function crashedBy(bench: DeliveryBench, poison: string): Rule {
  const inFlight = new Set<() => void>();
  return async (post) => {
    const crash = new Promise<void>((resolve) => inFlight.add(resolve));
    const answered = sleep(bench.clock, 20).then(() => 'answered' as const);
    if (post.name === poison) for (const die of inFlight) die();
    const end = await Promise.race([crash, answered]);
    if (end !== 'answered') return NO_ANSWER;
    const known = bench.trainer.memory.get(post.name) === post.verdict;
    bench.trainer.memory.set(post.name, post.verdict);
    return known ? DUPLICATE : LEARNED;
  };
}

describe.each([
  ['no answer', NO_ANSWER],
  ['an unknown error', UNKNOWN_ERROR],
])('a message that always gets %s', (_what, failure) => {
  test('pauses its controller, and is charged with nothing while nobody else is proven', async () => {
    const bench = await warmBench(to('a', failure), to('known', DUPLICATE));
    bench.put('a');
    await bench.flow(3_600_000);
    // That one was known before: it shows that the controller reads, not that it stores.
    bench.put('known');
    await bench.flow(600_000);
    expect(bench.trainer.of('a').length).toBeGreaterThan(10);
    expect(bench.trainer.of('a').length).toBeLessThan(40);
    expect(chargesOf(bench)).toEqual({});
    expect(bench.spool.queued).toEqual(['spam/a']);
  });

  test('is charged when others are proven before and after, and ends in quarantine', async () => {
    const bench = await warmBench(to('a', failure));
    bench.put('a');
    await bench.flowUntil('it has failed', () => bench.controller.state === 'down');
    bench.put('b');
    // At once, without the failed one's backoff.
    await bench.soon('another one is learned', () => bench.events.counts.learned === 2);
    expect(bench.trainer.names).toEqual(['a', 'b', 'b']);
    await bench.flow(600_000);
    expect(bench.controller.state).toBe('up');
    expect(chargesOf(bench)).toEqual({});
    await others(bench);
    expect(chargesOf(bench)).toEqual({ a: MAX_ATTEMPTS - 1 });
    expect(JSON.parse(bench.spool.read('quarantine/spam/a.json'))).toMatchObject({
      attempts: MAX_ATTEMPTS,
      reason: expect.stringContaining('reason' in failure ? failure.reason : '') as string,
    });
    expect(bench.controller.state).toBe('up');
    expect(bench.isEmpty).toBe(true);
  });

  test('waits out its backoff also where it was acknowledged, without a proof, before', async () => {
    const bench = await DeliveryBench.warm(
      { maxAttempts: 100 },
      to('a', LEARNED, 4),
      to('a', failure),
    );
    bench.put('a');
    await bench.flowUntil('it is without a proof', () => bench.trainer.of('a').length === 4);
    for (let i = 0; i < 120; i += 1) {
      bench.put(`other-${i}`);
      await bench.flow(5_000);
    }
    expect(bench.trainer.of('a').length).toBeLessThan(20);
  });

  test('is no excuse for a second one: both end in quarantine', async () => {
    const bench = await warmBench(to(['a', 'b'], failure));
    bench.put('a');
    bench.put('b');
    await others(bench, 2);
    expect(bench.quarantined.sort()).toEqual(['a', 'b']);
  });

  test('is overtaken by others, and tried alone, ever more rarely', async () => {
    const times: number[] = [];
    const bench = await warmBench();
    bench.trainer.plays(({ name, besides }) => {
      if (name !== 'a') return undefined;
      expect(besides).toBe(1);
      times.push(bench.clock.monotonic());
      return failure;
    });
    bench.put('a');
    await bench.flowUntil('it has failed', () => bench.controller.state === 'down');
    for (let i = 0; i < 20; i += 1) bench.put(`${i}`);
    await bench.flowUntil('the others are learned', () => bench.events.counts.learned === 21);
    await bench.flow(20_000);
    const waits = times.slice(1).map((at, index) => Math.round((at - (times[index] ?? 0)) / 1_000));
    expect(waits.slice(1)).toEqual([1, 2, 4, 8]);
  });

  test('is not charged with what its writer has made of the file since', async () => {
    const bench = await warmBench(to('a', failure, 2));
    const path = bench.put('a');
    await bench.flowUntil('it has failed', () => bench.controller.state === 'down');
    bench.put('b');
    await bench.flowUntil('it has failed again', () => bench.trainer.of('a').length === 2);
    appendFileSync(path, 'more');
    await bench.flow(1_500);
    bench.put('c');
    await bench.finish();
    expect(chargesOf(bench)).toEqual({});
    expect(bench.events.counts).toMatchObject({ learned: 4, quarantined: 0 });
  });
});

test.each([
  ['refused', REFUSES],
  ['unreachable', UNREACHABLE],
])(
  'a connection that is %s is no message’s own, whoever is proven around it',
  async (_what, failure) => {
    const bench = await warmBench(to('a', failure));
    bench.put('a');
    for (let i = 0; i < 10; i += 1) {
      await bench.flow(70_000);
      bench.put(`other-${i}`);
      await bench.finishOf(`other-${i}`);
    }
    expect(bench.trainer.of('a').length).toBeGreaterThan(5);
    expect(chargesOf(bench)).toEqual({});
    expect(bench.spool.queued).toEqual(['spam/a']);
  },
);

test('a message that a proxy forbids, and no other, is set aside and stops nobody', async () => {
  const bench = await warmBench(to('a', WRONG_PORT));
  bench.put('a');
  await bench.flowUntil('all is held', () => bench.controller.state === 'misconfigured');
  bench.put('b');
  await bench.finishOf('b');
  await bench.flow(1_000);
  expect(bench.controller.state).toBe('up');
  await others(bench);
  expect(bench.quarantined).toEqual(['a']);
  expect(bench.recorder.of('controller.misconfigured')).toHaveLength(1);
});

test('one failure after the other is an outage, which charges nobody', async () => {
  const bench = await warmBench(to(['a', 'b'], UNKNOWN_ERROR, 2));
  bench.put('a');
  await bench.flowUntil('it has failed', () => bench.controller.state === 'down');
  bench.put('b');
  await bench.finish();
  expect(chargesOf(bench)).toEqual({});
  expect(bench.events.counts).toMatchObject({ learned: 3, quarantined: 0 });
});

test('a failure of several at once charges nobody: each is tried alone afterwards', async () => {
  const bench = await warmBench();
  const names = ['a', 'b', 'c', 'd'];
  const holder = await bench.hold(names);
  bench.put('late');
  const before = bench.trainer.posts.length;
  holder.open(NO_ANSWER);
  await bench.finish();
  expect(bench.recorder.of('controller.down')).toHaveLength(1);
  expect(chargesOf(bench)).toEqual({});
  for (const { name, besides } of bench.trainer.posts.slice(before)) {
    if (names.includes(name)) expect(besides).toBe(1);
  }
  expect(bench.events.counts).toMatchObject({ learned: 6, quarantined: 0 });
});

describe('a message that crashes the worker, among others', () => {
  test.each([true, false])('is the only one in quarantine (controller up: %s)', async (isUp) => {
    const bench = isUp ? await warmBench() : new DeliveryBench({ maxAttempts: MAX_ATTEMPTS });
    bench.trainer.plays(crashedBy(bench, 'poison'));
    for (let i = 0; i < 20; i += 1) bench.put(i === 7 ? 'poison' : `${i}`);
    await bench.flowUntil('the others are learned', () => bench.events.counts.learned >= 19);
    await others(bench);
    expect(bench.quarantined).toEqual(['poison']);
    expect(Object.keys(chargesOf(bench))).toEqual(['poison']);
  });

  test('takes at most a tenth of the time while others wait', async () => {
    const bench = await warmBench();
    const trials: number[] = [];
    let others = 0;
    // As many wait at any time, and none of them for long: the line alone doesn't hold it up.
    const another = (): void => {
      bench.put(`${(others += 1)}`);
    };
    bench.trainer.plays(
      to('poison', async () => {
        trials.push(bench.clock.monotonic());
        await sleep(bench.clock, 10_000);
        return NO_ANSWER;
      }),
      ({ name }) =>
        name === 'b'
          ? undefined
          : sleep(bench.clock, 1_000).then(() => {
              another();
              return DUPLICATE;
            }),
    );
    bench.put('poison');
    await bench.flowUntil('it has failed', () => bench.controller.state === 'down');
    bench.put('b');
    await bench.flowUntil('it is tried again', () => trials.length === 2);
    for (let i = 0; i < 20; i += 1) another();
    await bench.flowUntil('it is tried once more', () => trials.length === 3, 5);
    const [, second = 0, third = 0] = trials;
    expect(third - second).toBeGreaterThanOrEqual(100_000);
    expect(bench.events.counts.duplicate).toBeGreaterThan(500);
  });
});

describe('an outage', () => {
  const outages: [what: string, outcome: Parameters<typeof toAll>[0]][] = [
    ['silent', NO_ANSWER],
    ['refusing', REFUSES],
    ['unreachable', UNREACHABLE],
    ['without its Redis', NO_REDIS],
    ['with unknown errors', UNKNOWN_ERROR],
    ['misconfigured', WRONG_PORT],
    ['with another password', WRONG_PASSWORD],
    ['forgetting all', LEARNED],
  ];

  test.each(outages)('of an hour is nobody’s attempt: %s', async (_what, outcome) => {
    const bench = await warmBench(toAll(outcome));
    for (let i = 0; i < 20; i += 1) bench.put(`${i}`);
    await bench.flow(3_600_000);
    expect(bench.quarantined).toEqual([]);
    expect(chargesOf(bench)).toEqual({});
    expect(bench.spool.queued).toHaveLength(20);
    expect(bench.controller.isOpen).toBe(false);
    // no storm: backoff of up to five minutes, four posts a probe at most
    expect(bench.trainer.posts.length).toBeLessThan(250);
    expect(bench.recorder.lines.length).toBeLessThan(120);
    bench.trainer.plays();
    await bench.finish(50);
    // nor is its end
    expect(chargesOf(bench)).toEqual({});
    expect(bench.events.counts.learned).toBe(21);
    expect(bench.recorder.of('controller.up')).toHaveLength(1);
  });

  test('is probed by one message at a time, never the same one twice running', async () => {
    const bench = await warmBench(toAll(REFUSES));
    for (let i = 0; i < 5; i += 1) bench.put(`${i}`);
    await bench.flowUntil('it is down', () => bench.controller.state === 'down');
    const before = bench.trainer.posts.length;
    await bench.flow(1_800_000);
    const probes = bench.trainer.posts.slice(before);
    expect(probes.length).toBeGreaterThan(5);
    expect(probes.every(({ besides }) => besides === 1)).toBe(true);
    for (const [index, { name }] of probes.entries()) {
      expect(name).not.toBe(probes[index - 1]?.name);
    }
  });

  test('of its Redis ends by a proof alone: known messages show nothing', async () => {
    const writes = (post: Post): boolean => !post.name.startsWith('known');
    const bench = await warmBench((post) => (writes(post) ? NO_REDIS : DUPLICATE));
    bench.put('new');
    await bench.flowUntil('it is down', () => bench.controller.state === 'down');
    for (let i = 0; i < 5; i += 1) bench.put(`known-${i}`);
    await bench.flowUntil('one is done', () => bench.events.counts.duplicate === 1);
    const start = bench.clock.monotonic();
    await bench.flowUntil('they are done', () => bench.events.counts.duplicate === 5);
    // each was followed by the next at once
    expect(bench.clock.monotonic() - start).toBeLessThan(100);
    expect(bench.controller.state).toBe('down');
    bench.trainer.plays();
    await bench.finish();
    expect(bench.events.counts.learned).toBe(2);
  });

  test('over, the probe goes alone and the others follow together', async () => {
    const bench = await warmBench(toAll(REFUSES));
    for (let i = 0; i < 9; i += 1) bench.put(`${i}`);
    await bench.flowUntil('all have failed', () => {
      return !bench.controller.isOpen && bench.scheduler.counts.inFlight === 0;
    });
    const holder = bench.holds();
    await bench.flowUntil('it is probed', () => holder.names.length === 1);
    await bench.flow(30_000);
    expect(holder.names).toHaveLength(1);
    holder.answer(holder.names[0] ?? '', DUPLICATE);
    await bench.flowUntil('the others follow', () => holder.names.length === 8);
    holder.open(DUPLICATE);
    await bench.finish();
  });

  test('is tried at once when it is asked for', async () => {
    const bench = await warmBench(toAll(REFUSES));
    bench.put('a');
    await bench.flow(1_000_000);
    const start = bench.clock.monotonic();
    const { length } = bench.trainer.posts;
    bench.scheduler.retryNow();
    await bench.flowUntil('it is tried', () => bench.trainer.posts.length > length);
    expect(bench.clock.monotonic() - start).toBeLessThan(100);
  });

  test('is tried with what is deferred when that is asked for', async () => {
    const bench = await warmBench(to('a', LEARNED, 5));
    bench.put('a');
    await bench.flowUntil('it waits', () => bench.trainer.of('a').length === 5);
    bench.scheduler.retryNow();
    await bench.soon('it is learned', () => bench.events.counts.learned === 2);
  });
});

test('misconfiguration after the first post keeps the rest from being tried', async () => {
  const bench = new DeliveryBench();
  bench.trainer.plays(toAll(WRONG_PASSWORD));
  for (let i = 0; i < 50; i += 1) bench.put(`${i}`);
  await bench.flow(59_000);
  expect(bench.trainer.posts).toHaveLength(1);
  expect(bench.recorder.of('controller.misconfigured')).toHaveLength(1);
  await bench.flow(600_000);
  expect(bench.trainer.posts.length).toBeLessThan(8);
});

describe('a message without proof', () => {
  test('is set aside, and learned when a later post proves it', async () => {
    const bench = await warmBench(to('a', LEARNED, 4));
    bench.put('a');
    await bench.flowUntil('it is set aside', () => bench.scheduler.counts.deferred === 1);
    expect(bench.trainer.of('a')).toHaveLength(4);
    expect(bench.controller.state).toBe('up');
    bench.trainer.plays(to('a', DUPLICATE));
    await bench.finish();
    expect(bench.recorder.of('message.learned').at(-1)?.fields).toMatchObject({
      file: 'a',
      proven: true,
    });
    expect(bench.events.counts.duplicate).toBe(0);
  });

  test('after two rounds, each with another’s proof after it, is let go unproven', async () => {
    const bench = await warmBench(to('a', LEARNED));
    bench.put('a');
    for (const [rounds, other] of ['b', 'c'].entries()) {
      await bench.flowUntil('it is set aside', () => {
        const { deferred } = bench.scheduler.counts;
        return deferred === 1 && bench.trainer.of('a').length === 4 * (rounds + 1);
      });
      expect(bench.filesOf('message.learned')).not.toContain('a');
      bench.put(other);
      await bench.finishOf(other);
    }
    await bench.finish();
    const line = bench.recorder.of('message.learned').find(({ fields }) => fields['file'] === 'a');
    expect(line?.fields).toMatchObject({ proven: false });
    expect(bench.trainer.of('a')).toHaveLength(8);
    expect(bench.spool.queued).toEqual([]);
  });

  test('is never let go while no other proves', async () => {
    const bench = await warmBench(to('a', LEARNED));
    bench.put('a');
    await bench.flow(3_600_000);
    expect(bench.spool.queued).toEqual(['spam/a']);
    expect(bench.controller.state).toBe('up');
  });

  test('and a second one make the controller unproven; its probes rotate', async () => {
    const bench = await warmBench(toAll(LEARNED));
    for (let i = 0; i < 6; i += 1) bench.put(`${i}`);
    await bench.flowUntil('it is unproven', () => bench.controller.state === 'unproven');
    expect(bench.recorder.of('controller.unproven')).toHaveLength(1);
    const before = bench.trainer.posts.length;
    await bench.flow(1_800_000);
    expect(new Set(bench.trainer.names.slice(before)).size).toBeGreaterThan(3);
    bench.trainer.plays();
    bench.put('fresh');
    await bench.finish(50);
    // what failed meanwhile has shown nothing about itself
    expect(bench.recorder.fieldOf('message.learned', 'proven')).not.toContain(false);
  });
});

type Weather = 'fine' | 'closed' | 'no answer' | '5xx' | 'no redis' | 'forgetful' | 'password';

const WEATHER: Readonly<Record<Weather, Rule>> = {
  fine: () => undefined,
  closed: toAll(REFUSES),
  'no answer': toAll(NO_ANSWER),
  '5xx': toAll(UNKNOWN_ERROR),
  'no redis': toAll(NO_REDIS),
  forgetful: toAll(LEARNED),
  password: toAll(WRONG_PASSWORD),
};

test('whatever the weather: no outage fills the quarantine, and in the end all is learned', async () => {
  const weathers: Weather[] = ['closed', 'no answer', '5xx', 'no redis', 'forgetful', 'password'];
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.tuple(
          fc.constantFrom<Weather>('fine', ...weathers),
          fc.integer({ min: 0, max: 3 }),
          fc.integer({ min: 1, max: 40_000 }),
        ),
        { minLength: 1, maxLength: 6 },
      ),
      async (story) => {
        const bench = new DeliveryBench({ maxAttempts: 10, concurrency: 3, backlog: 6 });
        let count = 0;
        for (const [weather, arrivals, ms] of story) {
          bench.trainer.plays(WEATHER[weather]);
          for (let i = 0; i < arrivals; i += 1) bench.put(`${(count += 1)}`);
          await bench.clock.flow(ms, 50);
        }
        bench.trainer.plays();
        // what was posted often enough during an outage waits for another message's proof
        bench.put(`${(count += 1)}`);
        await bench.finish(50);
        expect(bench.quarantined).toEqual([]);
        const { learned, duplicate, withdrawn } = bench.events.counts;
        expect(learned + duplicate).toBe(count);
        expect(withdrawn).toBe(0);
        await bench.scheduler.stop();
      },
    ),
    { numRuns: 25 },
  );
});
