import fc from 'fast-check';
import { appendFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { sleep } from '../../src/clock.ts';
import { DeliveryBench } from '../support/delivery-bench.ts';
import {
  DUPLICATE,
  Holder,
  LEARNED,
  NO_ANSWER,
  NO_REDIS,
  REFUSES,
  TOO_SHORT,
  UNKNOWN_ERROR,
  UNREACHABLE,
  WRONG_PASSWORD,
  WRONG_PORT,
  to,
  toAll,
} from '../support/scripted-trainer.ts';
import type { Post, Rule } from '../support/scripted-trainer.ts';

const MAX_ATTEMPTS = 3;

/** A bench whose controller is up and has a witness; its messages will fail so. */
async function warmBench(...rules: readonly Rule[]): Promise<DeliveryBench> {
  const bench = new DeliveryBench({ maxAttempts: MAX_ATTEMPTS });
  await bench.warmUp('witness');
  bench.trainer.plays(...rules);
  return bench;
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

/** How often messages were charged, by name, as the log says. */
function chargesOf(bench: DeliveryBench): Record<string, number> {
  const charges: Record<string, number> = {};
  for (const { fields } of bench.recorder.of('message.deferred')) {
    charges[String(fields['file'])] = Number(fields['charges']);
  }
  return charges;
}

describe('an unknown failure without an answer', () => {
  test('of a message alone is its own when the witness is known: 208', async () => {
    const bench = await warmBench(to('a', NO_ANSWER));
    bench.put('a');
    await bench.flowUntil('it is charged', () => bench.scheduler.counts.deferred === 1);
    expect(bench.trainer.names).toEqual(['a', 'witness']);
    expect(bench.recorder.of('message.deferred')).toMatchObject([
      { fields: { file: 'a', reason: 'no answer', charges: 1, attempt: 1, retrySeconds: 1 } },
    ]);
    expect(bench.controller.state).toBe('up');
  });

  test.each([
    ['silent', NO_ANSWER],
    ['refused', REFUSES],
    ['an error', UNKNOWN_ERROR],
    ['a 204', TOO_SHORT],
    ['200 for ever', LEARNED],
  ])(
    'of a message alone is the controller’s when the witness’s answer is %s',
    async (_what, it) => {
      const bench = await warmBench(to('a', NO_ANSWER), to('witness', it));
      bench.put('a');
      await bench.flow(600_000);
      expect(bench.controller.state).toBe('down');
      expect(chargesOf(bench)).toEqual({});
      expect(bench.spool.queued).toEqual(['spam/a']);
    },
  );

  test('of a message alone is the controller’s when there is no witness', async () => {
    const bench = new DeliveryBench({ maxAttempts: MAX_ATTEMPTS });
    bench.trainer.plays(to('a', NO_ANSWER));
    bench.put('a');
    bench.scheduler.start();
    await bench.flow(3_600_000);
    expect(bench.trainer.posts.length).toBeGreaterThan(10);
    expect(bench.trainer.posts.length).toBeLessThan(30);
    expect(chargesOf(bench)).toEqual({});
    expect(bench.quarantined).toEqual([]);
    expect(bench.spool.queued).toEqual(['spam/a']);
  });

  test('lets nothing start beside the question to the witness', async () => {
    const holder = new Holder();
    const bench = await warmBench(to('a', NO_ANSWER), holder.of('witness'));
    bench.put('a');
    await bench.flowUntil('the witness is asked', () => holder.names.length === 1);
    bench.put('b');
    bench.put('c');
    await bench.flow(10_000);
    expect(bench.trainer.names).toEqual(['a', 'witness']);
    holder.open(DUPLICATE);
    await bench.flowUntil('the others are learned', () => bench.events.counts.learned === 3);
  });

  test('of several at once is nobody’s: each is tried alone afterwards', async () => {
    const holder = new Holder();
    const bench = await warmBench(holder.of());
    const names = ['a', 'b', 'c', 'd'];
    for (const key of names) bench.put(key);
    await bench.flowUntil('all are posted', () => holder.names.length === 4);
    bench.put('late');
    holder.open(NO_ANSWER);
    await bench.flowUntil('it is down', () => bench.controller.state === 'down');
    const before = bench.trainer.posts.length;
    await bench.finish();
    expect(chargesOf(bench)).toEqual({});
    const later = bench.trainer.posts.slice(before);
    for (const name of names) {
      for (const { besides } of later.filter((post) => post.name === name)) expect(besides).toBe(1);
    }
    expect(bench.events.counts).toMatchObject({ learned: 6, quarantined: 0 });
  });

  test('of a probe is the outage’s when that ends before the witness is asked', async () => {
    const bench = await warmBench(toAll(NO_ANSWER));
    for (const key of ['a', 'b', 'c']) bench.put(key);
    await bench.flow(600_000);
    expect(bench.controller.state).toBe('down');
    let isOver = false;
    bench.trainer.plays(({ name }) => {
      isOver ||= name === 'witness';
      return isOver ? undefined : NO_ANSWER;
    });
    await bench.finish();
    expect(chargesOf(bench)).toEqual({});
    expect(bench.events.counts).toMatchObject({ learned: 4, quarantined: 0 });
  });

  test('that charges a message lets others overtake it', async () => {
    const bench = await warmBench(to('a', NO_ANSWER));
    bench.put('a');
    await bench.flowUntil('it is charged', () => bench.scheduler.counts.deferred === 1);
    for (let i = 0; i < 20; i += 1) bench.put(`${i}`);
    await bench.flowUntil('the others are learned', () => bench.events.counts.learned === 21);
    expect(bench.trainer.of('a')).toHaveLength(1);
  });

  test('that charges a message lets no other one start beside its next try', async () => {
    const holder = new Holder();
    const bench = await warmBench(to('a', NO_ANSWER, 1), holder.of('a'));
    bench.put('a');
    await bench.flowUntil('it is tried again', () => holder.names.length === 1);
    bench.put('b');
    bench.put('c');
    await bench.flow(10_000);
    expect(bench.trainer.of('b')).toEqual([]);
    holder.open();
    await bench.flowUntil('all are learned', () => bench.events.counts.learned === 4);
  });

  test('that charges a message often enough quarantines it, with the reason', async () => {
    const bench = await warmBench(to('a', NO_ANSWER));
    bench.put('a');
    await bench.finish();
    expect(bench.trainer.of('a')).toHaveLength(MAX_ATTEMPTS);
    expect(bench.spool.names('quarantine/spam')).toEqual(['a', 'a.json']);
    expect(JSON.parse(bench.spool.read('quarantine/spam/a.json'))).toMatchObject({
      attempts: MAX_ATTEMPTS,
      reason: expect.stringContaining('no answer') as string,
    });
    expect(bench.events.counts.quarantined).toBe(1);
  });

  test('waits longer each time', async () => {
    const bench = await warmBench(to('a', NO_ANSWER, 2));
    const times: number[] = [];
    bench.trainer.plays((post) => {
      if (post.name !== 'a') return undefined;
      times.push(bench.clock.monotonic());
      return times.length <= 2 ? NO_ANSWER : undefined;
    });
    bench.put('a');
    await bench.finish();
    const [first = 0, second = 0, third = 0] = times;
    expect(second - first).toBeGreaterThanOrEqual(1_000);
    expect(third - second).toBeGreaterThanOrEqual(2_000);
    expect(bench.events.counts.learned).toBe(2);
  });
});

describe('an unknown answer such as a 5xx', () => {
  test('to a message alone is its own when the next one proves', async () => {
    const bench = await warmBench(to('a', UNKNOWN_ERROR));
    bench.put('a');
    await bench.flowUntil('it has failed', () => bench.controller.state === 'down');
    expect(chargesOf(bench)).toEqual({});
    const start = bench.clock.monotonic();
    bench.put('b');
    await bench.flowUntil('it is charged', () => bench.scheduler.counts.deferred === 1);
    // at once, without the failed one's backoff
    expect(bench.clock.monotonic() - start).toBeLessThan(100);
    expect(bench.trainer.names).toEqual(['a', 'b', 'b']);
    expect(chargesOf(bench)).toEqual({ a: 1 });
    expect(bench.controller.state).toBe('up');
  });

  test('to a message alone is never its own by the witness: reads may work', async () => {
    const bench = await warmBench(to('a', UNKNOWN_ERROR));
    bench.put('a');
    await bench.flow(3_600_000);
    expect(new Set(bench.trainer.names)).toEqual(new Set(['a']));
    expect(chargesOf(bench)).toEqual({});
    expect(bench.spool.queued).toEqual(['spam/a']);
  });

  test('to a message alone is not its own by one that was known before', async () => {
    const bench = await warmBench(to('a', UNKNOWN_ERROR), to('known', DUPLICATE));
    bench.put('a');
    await bench.flowUntil('it has failed', () => bench.controller.state === 'down');
    bench.put('known');
    await bench.flowUntil('it is done', () => bench.events.counts.duplicate === 1);
    await bench.flow(10_000);
    expect(chargesOf(bench)).toEqual({});
    expect(bench.controller.state).toBe('down');
  });

  test('to two messages one after the other charges neither: it may have been an outage', async () => {
    const bench = await warmBench(to(['a', 'b'], UNKNOWN_ERROR, 2));
    bench.put('a');
    await bench.flowUntil('it has failed', () => bench.controller.state === 'down');
    bench.put('b');
    await bench.finish();
    expect(chargesOf(bench)).toEqual({});
    expect(bench.events.counts).toMatchObject({ learned: 3, quarantined: 0 });
  });

  test('to the same two messages always quarantines both, however few others come', async () => {
    const bench = await warmBench(to(['a', 'b'], UNKNOWN_ERROR));
    bench.put('a');
    bench.put('b');
    for (let i = 0; bench.quarantined.length < 2 && i < 20; i += 1) {
      await bench.flow(60_000);
      bench.put(`other-${i}`);
    }
    expect(bench.quarantined.sort()).toEqual(['a', 'b']);
    await bench.finish();
  });

  test('is not charged to what its writer has made of the file since, which settles in peace', async () => {
    const bench = await warmBench(to('a', UNKNOWN_ERROR, 1));
    const path = bench.put('a');
    await bench.flowUntil('it has failed', () => bench.controller.state === 'down');
    appendFileSync(path, 'more');
    const before = bench.trainer.of('a').length;
    // Its next try comes upon the change; a moment later another message proves.
    await bench.flow(1_500);
    bench.put('other');
    await bench.flowUntil('the other one is learned', () => bench.events.counts.learned === 2);
    expect(chargesOf(bench)).toEqual({});
    await bench.flow(1_300);
    expect(bench.trainer.of('a')).toHaveLength(before);
    await bench.finish();
    expect(bench.events.counts).toMatchObject({ learned: 3, quarantined: 0 });
  });

  test('is not charged because the controller remembers what it stored before', async () => {
    const bench = await warmBench(
      to('early', LEARNED, 4),
      to('early', DUPLICATE),
      to('a', UNKNOWN_ERROR),
    );
    bench.put('early');
    await bench.flowUntil('it waits', () => bench.recorder.of('message.deferred').length > 0);
    bench.put('a');
    await bench.flowUntil('the early one is learned', () => bench.events.counts.learned === 2);
    expect(bench.trainer.of('a').length).toBeGreaterThan(0);
    expect(chargesOf(bench)['a']).toBeUndefined();
    bench.trainer.plays();
    await bench.finish();
  });

  test('often enough quarantines the message', async () => {
    const bench = await warmBench(to('a', UNKNOWN_ERROR));
    bench.put('a');
    for (let i = 0; bench.quarantined.length === 0 && i < 50; i += 1) {
      bench.put(`other-${i}`);
      await bench.flow(5_000);
    }
    expect(bench.quarantined).toEqual(['a']);
    expect(bench.trainer.of('a').length).toBeGreaterThanOrEqual(MAX_ATTEMPTS);
    await bench.finish();
  });
});

describe('a message that crashes the worker, among others', () => {
  test('is the only one that is charged and quarantined; all others are learned', async () => {
    const bench = await warmBench();
    bench.trainer.plays(crashedBy(bench, 'poison'));
    for (let i = 0; i < 20; i += 1) bench.put(i === 7 ? 'poison' : `${i}`);
    await bench.finish();
    expect(bench.quarantined).toEqual(['poison']);
    expect(bench.events.counts).toMatchObject({ learned: 20, quarantined: 1 });
    expect(Object.keys(chargesOf(bench))).toEqual(['poison']);
  });

  test('at the very start, when nothing is proven yet, is found out all the same', async () => {
    const bench = new DeliveryBench({ maxAttempts: MAX_ATTEMPTS });
    bench.trainer.plays(crashedBy(bench, 'poison'));
    bench.put('poison');
    for (let i = 0; i < 20; i += 1) bench.put(`${i}`);
    bench.scheduler.start();
    await bench.finish();
    expect(bench.quarantined).toEqual(['poison']);
    expect(bench.events.counts).toMatchObject({ learned: 20, quarantined: 1 });
  });

  test('takes at most a tenth of the time while others wait', async () => {
    const bench = await warmBench();
    const trials: number[] = [];
    bench.trainer.plays(
      to('poison', async () => {
        trials.push(bench.clock.monotonic());
        await sleep(bench.clock, 10_000);
        return NO_ANSWER;
      }),
      to('witness', DUPLICATE),
      toAll(async () => {
        await sleep(bench.clock, 1_000);
        return DUPLICATE;
      }),
    );
    bench.put('poison');
    await bench.flowUntil('it is tried', () => trials.length === 1);
    for (let i = 0; i < 1_000; i += 1) bench.enqueue(`${i}`);
    bench.scheduler.retryNow();
    await bench.flowUntil('it is tried again', () => trials.length === 2, 5);
    const [first = 0, second = 0] = trials;
    expect(second - first).toBeGreaterThanOrEqual(100_000);
    expect(bench.events.counts.duplicate).toBeGreaterThan(500);
  });

  test('is tried as soon as its own wait is over when nobody else is there', async () => {
    const bench = await warmBench();
    const trials: number[] = [];
    bench.trainer.plays(
      to('poison', async () => {
        trials.push(bench.clock.monotonic());
        await sleep(bench.clock, 10_000);
        return NO_ANSWER;
      }),
      to('witness', DUPLICATE),
    );
    bench.put('poison');
    await bench.flowUntil('it is tried again', () => trials.length === 2, 5);
    const [first = 0, second = 0] = trials;
    expect(second - first).toBeLessThan(12_500);
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
    for (const charges of Object.values(chargesOf(bench))) expect(charges).toBe(0);
    expect(bench.spool.queued).toHaveLength(20);
    expect(bench.controller.isOpen).toBe(false);
    // no storm: backoff of up to five minutes, four posts a probe at most
    expect(bench.trainer.posts.length).toBeLessThan(250);
    expect(bench.recorder.lines.length).toBeLessThan(120);
    bench.trainer.plays();
    await bench.finish(50);
    // nor is its end
    for (const charges of Object.values(chargesOf(bench))) expect(charges).toBe(0);
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
    const holder = new Holder();
    bench.trainer.plays(holder.of());
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
    const bench = await warmBench(to('a', NO_ANSWER, 2));
    bench.put('a');
    await bench.flowUntil('it waits', () => bench.scheduler.counts.deferred === 1);
    const start = bench.clock.monotonic();
    bench.scheduler.retryNow();
    await bench.flowUntil('it is tried', () => bench.trainer.of('a').length === 2);
    expect(bench.clock.monotonic() - start).toBeLessThan(100);
  });
});

describe('misconfiguration', () => {
  test('after the first post keeps the rest from being tried', async () => {
    const bench = new DeliveryBench();
    bench.trainer.plays(toAll(WRONG_PASSWORD));
    for (let i = 0; i < 50; i += 1) bench.put(`${i}`);
    bench.scheduler.start();
    await bench.flow(59_000);
    expect(bench.trainer.posts).toHaveLength(1);
    expect(bench.recorder.of('controller.misconfigured')).toHaveLength(1);
    await bench.flow(600_000);
    expect(bench.trainer.posts.length).toBeLessThan(8);
  });
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
      await bench.flowUntil('another one proves', () =>
        bench.filesOf('message.learned').includes(other),
      );
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
        bench.scheduler.start();
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
