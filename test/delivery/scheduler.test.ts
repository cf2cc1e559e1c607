import {
  appendFileSync,
  linkSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { describe, expect, test } from 'vitest';
import { DeliveryBench, RESCAN_MS, SETTLE_MS } from '../support/delivery-bench.ts';
import {
  DUPLICATE,
  Holder,
  LEARNED,
  NO_ANSWER,
  REFUSES,
  TOO_LARGE,
  TOO_SHORT,
  UNKNOWN_ERROR,
  to,
  toAll,
} from '../support/scripted-trainer.ts';
import { put } from '../support/test-spool.ts';

describe('an entry that is not what it was', () => {
  test('and is gone is a withdrawn verdict: never posted, not an error', async () => {
    const bench = new DeliveryBench();
    unlinkSync(bench.put('a'));
    await bench.finish();
    expect(bench.trainer.posts).toEqual([]);
    expect(bench.recorder.lines).toMatchObject([
      { event: 'message.withdrawn', severity: 'notice', fields: { file: 'a' } },
    ]);
  });

  test('and has grown settles again and is posted whole', async () => {
    const bench = new DeliveryBench();
    const path = bench.put('a');
    appendFileSync(path, 'and more');
    await bench.flow(SETTLE_MS - 100);
    expect(bench.trainer.posts).toEqual([]);
    await bench.finish();
    expect(bench.trainer.posts[0]?.text).toContain('The body of a.\r\nand more');
    expect(bench.filesOf('message.learned')).toEqual(['a']);
  });

  test('by the time it is learned stays, and is learned as it is now', async () => {
    const bench = new DeliveryBench();
    const holder = await bench.hold(['a']);
    writeFileSync(bench.spool.statePath('queue/spam/a'), 'X-Test: rewritten\n\nbody');
    holder.open(DUPLICATE);
    await bench.finish();
    expect(bench.trainer.names).toEqual(['a', 'rewritten', 'rewritten']);
    expect(bench.events.counts.learned + bench.events.counts.duplicate).toBe(1);
  });

  test('by the time it is learned, and is gone, is withdrawn', async () => {
    const bench = new DeliveryBench();
    const holder = await bench.hold(['a']);
    unlinkSync(bench.spool.statePath('queue/spam/a'));
    holder.open();
    await bench.finish();
    expect(bench.events.counts).toMatchObject({ learned: 0, withdrawn: 1 });
  });
});

describe('an entry that can’t be taught is quarantined unread:', () => {
  const unfit: [what: string, make: (bench: DeliveryBench, path: string) => void][] = [
    ['a symlink', (bench, path) => symlinkSync(put(`${bench.spool.lib}/secret`, 'secret'), path)],
    ['a folder', (_bench, path) => mkdirSync(path)],
    ['a file with several links', (bench, path) => {
      linkSync(put(`${bench.spool.lib}/outside`, 'secret'), path);
    }],
    ['an over-size file', (bench) => bench.enqueue('a', { bytes: 2_000_000 })],
  ]; // prettier-ignore

  test.each(unfit)('%s', async (_what, make) => {
    const bench = new DeliveryBench();
    make(bench, bench.spool.statePath('queue/spam/a'));
    bench.put('b');
    await bench.finish();
    expect(bench.trainer.names).toEqual(['b', 'b']);
    expect(bench.spool.names('quarantine/spam')).toEqual(['a', 'a.json']);
    expect(bench.recorder.of('message.quarantined')).toMatchObject([
      { severity: 'warning', fields: { file: 'a' } },
    ]);
  });
});

describe('an answer about the message itself', () => {
  test('that it can’t be learned, whoever asks, quarantines it at once', async () => {
    const bench = new DeliveryBench();
    bench.trainer.plays(to('a', TOO_LARGE));
    bench.put('a');
    await bench.finish();
    expect(bench.trainer.posts).toHaveLength(1);
    expect(JSON.parse(bench.spool.read('quarantine/spam/a.json'))).toMatchObject({
      name: 'a',
      verdict: 'spam',
      reason: TOO_LARGE.kind === 'rejected' ? TOO_LARGE.reason : '',
      attempts: 0,
      messageId: 'a@example.org',
    });
    expect(bench.controller.state).toBe('up');
  });

  test('that there is nothing to learn disposes of it as refused', async () => {
    const bench = new DeliveryBench({ after: 'archive' });
    bench.trainer.plays(to('a', TOO_SHORT));
    bench.put('a', { verdict: 'ham' });
    await bench.finish();
    expect(bench.recorder.of('message.refused')).toHaveLength(1);
    expect(bench.spool.names('archive/ham/2026-03-14')).toEqual(['a']);
  });
});

describe('a learned message', () => {
  test('is disposed of when it is proven, not before', async () => {
    const bench = new DeliveryBench();
    const holder = await bench.hold(['a']);
    for (let posts = 0; posts < 3; posts += 1) {
      expect(bench.spool.queued).toEqual(['spam/a']);
      holder.answer('a', LEARNED);
      await bench.flowUntil('it is posted again', () => holder.names.length === 1);
    }
    holder.answer('a', DUPLICATE);
    await bench.finish();
    expect(bench.recorder.of('message.learned')).toMatchObject([
      { fields: { file: 'a', messageId: 'a@example.org', proven: true, attempt: 1 } },
    ]);
  });

  test('goes as its verdict says, with its own bytes', async () => {
    const bench = new DeliveryBench();
    bench.put('a', { verdict: 'ham' });
    bench.put('b', { verdict: 'spam' });
    await bench.finish();
    expect(bench.trainer.of('a').map(({ verdict }) => verdict)).toEqual(['ham', 'ham']);
    expect(bench.trainer.of('b').map(({ verdict }) => verdict)).toEqual(['spam', 'spam']);
    expect(bench.trainer.of('a')[0]?.text).toBe(
      'X-Test: a\r\nMessage-ID: <a@example.org>\r\n\r\nThe body of a.\r\n',
    );
  });
});

describe('an error of this program', () => {
  const isBroken = (): never => {
    throw new TypeError('x is not a function');
  };

  test.each(['read', 'post', 'finish'] as const)(
    'at a message’s %s is a bug of its own name, and neither loses the message nor keeps the others',
    async (step) => {
      const bench = new DeliveryBench();
      const { queue } = bench.spool;
      const [read, check] = [queue.read.bind(queue), queue.check.bind(queue)];
      if (step === 'read') queue.read = (entry) => (entry.key === 'a' ? isBroken() : read(entry));
      if (step === 'finish')
        queue.check = (entry) => (entry.key === 'a' ? isBroken() : check(entry));
      if (step === 'post') bench.trainer.plays(to('a', isBroken));
      bench.put('a');
      for (let i = 0; i < 20; i += 1) bench.put(`m${i}`);
      await bench.flowUntil('the others are learned', () => bench.events.counts.learned === 20);
      expect(bench.clock.monotonic()).toBeLessThan(2_000);
      expect(bench.spool.queued).toEqual(['spam/a']);
      expect(bench.recorder.of('daemon.bug')[0]).toMatchObject({
        severity: 'err',
        fields: { verdict: 'spam', file: 'a', error: 'TypeError: x is not a function' },
      });
      for (const event of ['message.deferred', 'disk.fault', 'controller.down'] as const) {
        expect(bench.recorder.of(event)).toEqual([]);
      }
      Object.assign(queue, { read, check });
      bench.trainer.plays();
      await bench.finish(10);
      expect(bench.events.counts).toMatchObject({ learned: 21, quarantined: 0 });
    },
  );

  test('in what follows a try leaves the message in one place', async () => {
    const bench = new DeliveryBench({ proveEvery: 1 });
    bench.trainer.plays(to('a', REFUSES));
    // After the message was put back into the line.
    Object.assign(bench.sampler ?? {}, { recall: isBroken });
    bench.put('a');
    await bench.flowUntil('it was met', () => bench.bugs.seen.count > 0);
    expect(bench.scheduler.counts).toEqual({ pending: 0, deferred: 1, inFlight: 0 });
  });

  test('in the choice of messages ends neither the daemon nor the choosing', async () => {
    const bench = new DeliveryBench();
    const areFree = bench.locks.areFree.bind(bench.locks);
    bench.locks.areFree = isBroken;
    bench.put('a');
    await bench.flowUntil('it was met twice', () => bench.bugs.seen.count === 2);
    expect(bench.recorder.fieldOf('daemon.bug', 'where')).toEqual(['a turn of the scheduler']);
    bench.locks.areFree = areFree;
    await bench.finish();
    expect(bench.events.counts.learned).toBe(1);
  });
});

test('a moment that is due between two looks at the clock is not missed', async () => {
  const bench = await DeliveryBench.warm();
  for (let round = 0; round < 60; round += 1) {
    bench.clock.readingMs = 0.05 + round * 0.007;
    const key = `m${round}`;
    bench.trainer.plays(to(key, REFUSES, 1));
    bench.put(key);
    const since = bench.clock.monotonic();
    await bench.finish();
    // the first backoff is a second; after the rescan's 30 it would be found anyway
    expect(bench.clock.monotonic() - since).toBeLessThan(2_000);
  }
});

describe('at the start', () => {
  test('the first post goes alone; the others follow when it is done', async () => {
    const bench = new DeliveryBench({ concurrency: 4 });
    const holder = await bench.hold(['a', 'b', 'c', 'd', 'e'], 1);
    await bench.flow(10_000);
    expect(bench.scheduler.counts).toEqual({ pending: 4, deferred: 0, inFlight: 1 });
    holder.answer('a', DUPLICATE);
    await bench.flowUntil('the others are posted', () => holder.names.length === 4);
    expect(holder.names.sort()).toEqual(['b', 'c', 'd', 'e']);
    holder.open(DUPLICATE);
    await bench.finish();
  });

  test('what lies in the queue is found, and settles: marked for a tenth of the time', async () => {
    const bench = new DeliveryBench();
    bench.enqueue('marked');
    const path = bench.enqueue('unmarked');
    put(path, readFileSync(path), 0o640);
    await bench.flow(SETTLE_MS / 10 - 50);
    expect(bench.trainer.posts).toEqual([]);
    await bench.flowUntil('one is learned', () => bench.events.counts.learned === 1);
    expect(bench.filesOf('message.learned')).toEqual(['marked']);
    expect(bench.clock.monotonic()).toBeLessThan(SETTLE_MS);
    await bench.flow(SETTLE_MS - 100 - bench.clock.monotonic());
    expect(bench.trainer.of('unmarked')).toEqual([]);
    await bench.finish();
  });

  test('a message that pickup does not know to be settled settles', async () => {
    const bench = new DeliveryBench();
    bench.enqueue('a');
    bench.scheduler.enqueued(bench.spool.entry('spam', 'a'), false);
    await bench.flow(SETTLE_MS - 100);
    expect(bench.trainer.posts).toEqual([]);
    await bench.finish();
  });
});

describe('in flight', () => {
  test.each([1, 3, 8])('are at most as many as is allowed: %d', async (concurrency) => {
    const bench = await DeliveryBench.warm({ concurrency });
    const keys = Array.from({ length: 30 }, (_, index) => `${index}`);
    const holder = await bench.hold(keys, concurrency);
    expect(bench.scheduler.counts.inFlight).toBe(concurrency);
    holder.open(DUPLICATE);
    await bench.finish();
    expect(bench.trainer.most).toBe(concurrency);
    expect(new Set(bench.trainer.names).size).toBe(30);
  });

  const twins: [what: string, one: object, other: object][] = [
    ['the same Message-ID', { id: 'same@id' }, { id: 'same@id' }],
    ['the same body', { body: 'The same body.' }, { body: 'The same body.' }],
    [
      'the same Message-ID, their verdicts apart',
      { id: 'same@id', verdict: 'spam' },
      { id: 'same@id', verdict: 'ham' },
    ],
  ];

  test.each(twins)('are never two messages with %s', async (_what, one, other) => {
    const bench = await DeliveryBench.warm();
    const holder = bench.holds('a', 'b');
    bench.put('a', one);
    bench.put('b', other);
    bench.put('c');
    await bench.flowUntil('the third is learned', () => bench.events.counts.learned === 2);
    await bench.flow(60_000);
    expect(holder.names).toHaveLength(1);
    // held until the disposal, over both posts of the proof
    const [first = ''] = holder.names;
    holder.answer(first, LEARNED);
    await bench.flowUntil('it is posted again', () => holder.names.length === 1);
    expect(holder.names).toEqual([first]);
    holder.answer(first, DUPLICATE);
    await bench.flowUntil('the other one is posted', () => holder.names.length === 1);
    expect(holder.names).not.toEqual([first]);
    holder.open(DUPLICATE);
    await bench.finish();
    expect(
      bench.trainer.posts.filter(({ name }) => name !== 'c').map(({ besides }) => besides),
    ).not.toContain(3);
  });

  test('a key is said to be so, and said to be so no longer', async () => {
    const bench = new DeliveryBench();
    expect(bench.locks.isKeyHeld('a')).toBe(false);
    const holder = await bench.hold(['a']);
    expect(bench.locks.isKeyHeld('a')).toBe(true);
    expect(bench.released).toEqual([]);
    holder.open(DUPLICATE);
    await bench.finish();
    expect(bench.locks.isKeyHeld('a')).toBe(false);
    expect(bench.released).toEqual(['a']);
  });

  test('are bodies of 64 MiB in all; what would be more waits', async () => {
    const MB = 1_048_576;
    const bench = await DeliveryBench.warm({ maxBytes: 200 * MB });
    const holder = bench.holds();
    for (const key of ['a', 'b', 'c', 'd']) bench.put(key, { bytes: 20 * MB });
    await bench.flowUntil('three are posted', () => holder.names.length === 3);
    await bench.flow(60_000);
    expect(bench.scheduler.counts).toMatchObject({ pending: 1, inFlight: 3 });
    const [first = ''] = holder.names;
    holder.answer(first, DUPLICATE);
    await bench.flowUntil('the fourth is posted', () => holder.names.includes('d'));
    holder.open(DUPLICATE);
    await bench.finish();
  });

  test('a larger body goes alone, and is not overtaken for ever', async () => {
    const MB = 1_048_576;
    const bench = await DeliveryBench.warm({ maxBytes: 200 * MB });
    const holder = bench.holds();
    bench.put('small');
    bench.put('large', { bytes: 70 * MB });
    bench.put('late');
    await bench.flowUntil('one is posted', () => holder.names.length === 1);
    await bench.flow(10_000);
    expect(holder.names).toEqual(['small']);
    holder.answer('small', DUPLICATE);
    await bench.flowUntil('the large one is posted', () => holder.names.includes('large'));
    await bench.flow(10_000);
    expect(holder.names).toEqual(['large']);
    holder.open(DUPLICATE);
    await bench.finish();
  });
});

describe('memory', () => {
  test('holds no more than the backlog; the rest is found on disk', async () => {
    const bench = new DeliveryBench({ backlog: 10, concurrency: 2 });
    for (let i = 0; i < 100; i += 1) bench.enqueue(`${i}`);
    let most = 0;
    bench.trainer.plays(() => {
      const { pending, inFlight } = bench.scheduler.counts;
      most = Math.max(most, pending + inFlight);
      return undefined;
    });
    await bench.finish();
    expect(most).toBeLessThanOrEqual(10 + 2);
    expect(bench.events.counts.learned).toBe(100);
  });

  test.each([
    ['get no answer', 4, NO_ANSWER],
    ['get an unknown error', 4, UNKNOWN_ERROR],
    ['get no answer, more than it holds', 2, NO_ANSWER],
    ['get an unknown error, more than it holds', 2, UNKNOWN_ERROR],
  ])('is not filled for good by messages that %s', async (_what, backlog, outcome) => {
    const bench = new DeliveryBench({ backlog, maxAttempts: 1 });
    const bad = ['w', 'x', 'y', 'z'];
    bench.trainer.plays(to(bad, outcome));
    for (const key of bad) bench.put(key);
    await bench.flow(60_000);
    for (let i = 0; i < 8; i += 1) {
      bench.put(`good-${i}`);
      await bench.flow(600_000);
    }
    await bench.finish(100);
    expect(bench.events.counts).toMatchObject({ learned: 8, quarantined: 4 });
  });

  test('is filled up from the disk every so often, also when nobody rang', async () => {
    const bench = await DeliveryBench.warm();
    bench.enqueue('a');
    const start = bench.clock.monotonic();
    await bench.finish(10);
    expect(bench.clock.monotonic() - start).toBeLessThan(RESCAN_MS + SETTLE_MS);
    expect(bench.filesOf('message.learned')).toEqual(['a']);
  });

  test('forgets what is superseded, with a word', async () => {
    const bench = new DeliveryBench();
    bench.put('a');
    bench.spool.queue.removeKey('a');
    bench.scheduler.superseded('spam', 'a');
    bench.put('b');
    await bench.finish();
    expect(bench.trainer.names).toEqual(['b', 'b']);
    expect(bench.filesOf('message.superseded')).toEqual(['a']);
    expect(bench.recorder.of('message.withdrawn')).toEqual([]);
  });
});

describe('the liveness of the scheduler', () => {
  test('beats while nothing comes, through an outage, and while a post hangs', async () => {
    const bench = await DeliveryBench.warm();
    let most = 0;
    const beats = async (ms: number): Promise<void> => {
      const end = bench.clock.monotonic() + ms;
      await bench.flowUntil(
        `${ms} ms passed`,
        () => {
          most = Math.max(most, bench.scheduler.overdueMs);
          return bench.clock.monotonic() > end;
        },
        50,
      );
    };
    await beats(120_000);
    bench.trainer.plays(toAll(REFUSES));
    bench.put('a');
    await beats(120_000);
    expect(bench.scheduler.longestFlightMs).toBe(0);
    bench.trainer.plays(new Holder().of());
    await bench.flowUntil('it is posted', () => bench.scheduler.counts.inFlight === 1, 1_000);
    await beats(120_000);
    expect(most).toBeLessThan(1_000);
    expect(bench.scheduler.longestFlightMs).toBeGreaterThanOrEqual(120_000);
  });

  test('stands still when its timer never comes', async () => {
    const bench = await DeliveryBench.warm();
    bench.clock.after = () => ({ cancel: () => undefined });
    bench.scheduler.wake();
    await bench.flow(90_000);
    expect(bench.scheduler.overdueMs).toBeGreaterThan(50_000);
  });
});

describe('a stop', () => {
  test('that is near ends waits, and what is due goes on being tried', async () => {
    const bench = new DeliveryBench({ concurrency: 1 });
    const holder = await bench.hold(['a', 'b', 'c'], 1);
    bench.scheduler.hurryUp(RESCAN_MS / 2);
    holder.open();
    await bench.flow(RESCAN_MS / 3);
    expect(bench.filesOf('message.learned')).toEqual(['a', 'b', 'c']);
  });

  test('waits for what is in flight and leaves the rest in the queue', async () => {
    const bench = await DeliveryBench.warm({ concurrency: 2 });
    const holder = await bench.hold(['a', 'b', 'c', 'd'], 2);
    let isStopped = false;
    const stopping = bench.scheduler.stop().then(() => {
      isStopped = true;
    });
    await bench.flow(10_000);
    expect(isStopped).toBe(false);
    holder.open(DUPLICATE);
    await stopping;
    expect(bench.spool.queued).toEqual(['spam/c', 'spam/d']);
    expect(bench.trainer.names.sort()).toEqual(['a', 'b']);
    bench.put('e');
    bench.scheduler.wake();
    bench.scheduler.retryNow();
    expect(bench.clock.timers).toBe(0);
  });

  test('leaves a message that is not proven in the queue', async () => {
    const bench = new DeliveryBench();
    const holder = new Holder();
    bench.trainer.plays(toAll(LEARNED, 1), holder.of());
    bench.put('a');
    await bench.flowUntil('its proof is asked for', () => holder.names.length === 1);
    const stopping = bench.scheduler.stop();
    holder.open({ kind: 'aborted' });
    await stopping;
    expect(bench.spool.queued).toEqual(['spam/a']);
    expect(bench.events.counts.learned).toBe(0);
  });
});
