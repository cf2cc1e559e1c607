import { EventEmitter } from 'node:events';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { MARKED_MS, PickupBench } from '../support/pickup-bench.ts';
import { TestSpool } from '../support/test-spool.ts';

/**
 * Events may be lost, late or never come (network file systems, exhausted inotify limits): here
 * chokidar watches and never says a word but what a test makes it say.
 */
const chokidar = vi.hoisted(() => ({
  watchers: [] as EventEmitter[],
  /** Every watch fails so, a little later. */
  fault: '',
}));

vi.mock('chokidar', () => ({
  watch: (): EventEmitter => {
    const watcher = Object.assign(new EventEmitter(), { close: () => Promise.resolve() });
    chokidar.watchers.push(watcher);
    const error = Object.assign(new Error('no'), { code: chokidar.fault });
    if (chokidar.fault !== '') setImmediate(() => watcher.emit('error', error));
    return watcher;
  },
}));

const SWEEP_MS = 30_000;

beforeEach(() => {
  chokidar.watchers.length = 0;
  chokidar.fault = '';
});

/** Pickup that has looked once and now watches. */
async function watchingBench(): Promise<PickupBench> {
  const bench = await PickupBench.start({ polling: false, sweepMs: SWEEP_MS });
  await bench.flowUntil('it watches', () => chokidar.watchers.length === 2);
  return bench;
}

function noWatchLeft(): Error {
  return Object.assign(new Error('no'), { code: 'ENOSPC' });
}

/** Time until the file is in the queue. */
async function timeToTake(bench: PickupBench, name: string): Promise<number> {
  bench.spool.drop('spam', name);
  const start = bench.clock.monotonic();
  await bench.flowUntilQueued(`spam/${name}`);
  return bench.clock.monotonic() - start;
}

describe('a watcher without events', () => {
  test('costs at most a sweep interval: every file is found', async () => {
    const bench = await watchingBench();
    for (let i = 0; i < 20; i += 1) {
      bench.spool.drop(i % 2 === 0 ? 'spam' : 'ham', `${i}.eml`);
      await bench.clock.flow(1_000);
    }
    await bench.flowUntil('all are taken', () => bench.queued.length === 20);
    expect(await timeToTake(bench, 'last.eml')).toBeLessThan(SWEEP_MS + MARKED_MS + 100);
  });
});

describe('a watcher that fails', () => {
  test.each(['ENOSPC', 'EMFILE', 'EACCES'])(
    'is said once, and its folder swept every two seconds: %s',
    async (code) => {
      chokidar.fault = code;
      const bench = await watchingBench();
      for (let i = 0; i < 5; i += 1) {
        expect(await timeToTake(bench, `${i}.eml`)).toBeLessThan(2_000 + MARKED_MS + 100);
      }
      const lines = bench.recorder.of('disk.fault');
      expect(lines.map(({ fields }) => fields['place']).sort()).toEqual([
        `the watch on ${bench.spool.lib}/ham`,
        `the watch on ${bench.spool.lib}/spam`,
      ]);
      expect(lines[0]?.message).toMatch(/LEARN_POLLING|fs\.inotify/);
    },
  );

  test('and works later is said to', async () => {
    const bench = await watchingBench();
    const [first] = chokidar.watchers;
    first?.emit('error', noWatchLeft());
    first?.emit('ready'); // as chokidar does
    expect(bench.recorder.of('disk.ok')).toEqual([]);
    await bench.flowUntil('it watches again', () => chokidar.watchers.length === 3);
    for (const watcher of chokidar.watchers) watcher.emit('ready');
    expect(bench.recorder.of('disk.fault')).toHaveLength(1);
    expect(bench.recorder.fieldOf('disk.ok', 'place')).toEqual(
      bench.recorder.fieldOf('disk.fault', 'place'),
    );
  });

  test('beside thousands of files that stay lets them be swept no more often', async () => {
    chokidar.fault = 'ENOSPC';
    const spool = new TestSpool();
    for (let i = 0; i < 5_001; i += 1) spool.drop('spam', `${i}.eml`, '');
    const bench = await PickupBench.start({ spool, polling: false, sweepMs: SWEEP_MS });
    await bench.clock.flow(3 * SWEEP_MS, 100);
    // Both are tried after each sweep.
    expect(chokidar.watchers.length).toBeGreaterThan(2);
    expect(chokidar.watchers.length).toBeLessThanOrEqual(8);
  });

  test('by an error of a program is a bug, and its folder is swept all the same', async () => {
    const bench = await watchingBench();
    for (const watcher of [...chokidar.watchers]) watcher.emit('error', new TypeError('x'));
    expect(await timeToTake(bench, 'a.eml')).toBeLessThan(2_000 + MARKED_MS + 100);
    expect(bench.bugs.seen).toMatchObject({ count: 2, last: { error: 'TypeError' } });
    expect(bench.recorder.lines.map(({ event }) => event)).toEqual(['daemon.bug', 'daemon.bug']);
  });
});

describe('an event', () => {
  test.each([
    ['of no name', undefined],
    ['of a name that was no UTF-8', 'a\ufffd'],
    ['of an empty name', ''],
  ])('%s makes a sweep', async (_what, name) => {
    const bench = await watchingBench();
    bench.spool.drop('spam', 'a.eml');
    chokidar.watchers[0]?.emit('raw', 'rename', name);
    const start = bench.clock.monotonic();
    await bench.flowUntilQueued('spam/a.eml');
    expect(bench.clock.monotonic() - start).toBeLessThan(MARKED_MS + 100);
  });

  test('of a name that is not there, not a name, or hidden does no harm', async () => {
    const bench = await watchingBench();
    for (const name of ['nothing', '.hidden', '..', 7, {}, '../ham/a.eml']) {
      chokidar.watchers[0]?.emit('raw', 'rename', name);
    }
    await bench.clock.flow(1_000);
    expect(await timeToTake(bench, 'a.eml')).toBeLessThan(SWEEP_MS + MARKED_MS + 100);
    expect(bench.recorder.lines).toEqual([]);
  });
});
