import {
  appendFileSync,
  closeSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { crossesDevices } from '../../src/spool/state-dir.ts';
import { MOUNTS, SECOND_FILE_SYSTEM } from '../support/needs.ts';
import { actOnce, failOnce, failSteps, isStep } from '../support/fs-steps.ts';
import { Fifo } from '../support/fifo.ts';
import { PickupBench, SETTLE_MS } from '../support/pickup-bench.ts';
import { bindMount, folderElsewhere, mountTmpfs, temporaryFolder } from '../support/temporary.ts';
import { TestSpool, put, setMtime, setMtimeNs } from '../support/test-spool.ts';

/** A spool whose state dir lies on another file system. */
function splitSpool(maxBytes?: number): TestSpool {
  return new TestSpool({
    stateDir: `${folderElsewhere()}/state`,
    ...(maxBytes === undefined ? {} : { maxBytes }),
  });
}

let bench: PickupBench;
let spool: TestSpool;

beforeEach(() => {
  spool = splitSpool();
  bench = new PickupBench({ spool });
});

/** What is staged in a class folder. */
function stagedIn(spool: TestSpool, verdict: 'spam' | 'ham' = 'spam'): string[] {
  return spool.dropped(verdict).filter((name) => name.startsWith('.learnd-'));
}

/** Leaves a file as an earlier owner did that was killed after the first rename. */
function leaveStaged(spool: TestSpool, verdict: 'spam' | 'ham', key: string, body: string): string {
  return put(spool.dropPath(verdict, `.learnd-${key}`), body);
}

/** A spool whose state dir lies on a small disk that is full until `filler` is removed. */
function spoolOnFullDisk(size: string, fill: number): { spool: TestSpool; filler: string } {
  const base = temporaryFolder();
  mountTmpfs(`${base}/tiny`, `size=${size}`);
  const spool = new TestSpool({ stateDir: `${base}/tiny/state` });
  const filler = put(`${base}/tiny/filler`, Buffer.alloc(fill));
  return { spool, filler };
}

function nothingIsLeft(spool: TestSpool): void {
  expect(spool.dropped('spam').concat(spool.dropped('ham'))).toEqual([]);
  expect(spool.names('tmp')).toEqual([]);
}

describe('whether a rename would do', () => {
  test('is seen between two bind mounts of one file system (needs root)', MOUNTS, () => {
    const base = temporaryFolder();
    mkdirSync(`${base}/state`);
    bindMount(`${base}/state`, `${base}/mounted`);
    const spool = new TestSpool({ stateDir: `${base}/mounted` });
    expect(statSync(spool.lib).dev).toBe(statSync(spool.stateDir.root.path).dev);
    const bench = new PickupBench({ spool });
    bench.drop.refresh();
    const from = bench.drop.get('spam');
    if (from === undefined) throw new Error('it is missing');
    expect(crossesDevices(from.folder, spool.stateDir.queue.spam)).toBe(true);
  });
});

describe('with the state dir on another file system', SECOND_FILE_SYSTEM, () => {
  test('a full disk is said once, loses nothing, and is said to be over', MOUNTS, async () => {
    const { spool, filler } = spoolOnFullDisk('2000k', 1_850_000);
    const body = Buffer.alloc(200_000, 'x');
    const bench = await PickupBench.start({ spool });
    spool.drop('spam', 'a.eml', body);
    await bench.flowUntilLogged('disk.fault');
    expect(stagedIn(spool)).toEqual(['.learnd-a.eml']);
    expect(spool.names('tmp')).toEqual([]);
    for (let i = 0; i < 5; i += 1) spool.drop('ham', `${i}.eml`, body);
    await bench.clock.flow(30_000);
    expect(bench.recorder.of('disk.fault')).toHaveLength(1);
    expect(bench.recorder.of('disk.fault')[0]?.fields).toMatchObject({ code: 'ENOSPC' });
    expect(bench.queued).toEqual([]);
    expect(spool.dropped('ham')).toHaveLength(5);
    rmSync(filler);
    await bench.flowUntil('all are queued', () => bench.queued.length === 6);
    expect(bench.recorder.of('disk.ok')).toHaveLength(1);
    expect(spool.read('queue/spam/a.eml')).toBe(body.toString());
    nothingIsLeft(spool);
  });

  test('a stop does not wait for a full disk, and the next owner finishes it', MOUNTS, async () => {
    const { spool, filler } = spoolOnFullDisk('300k', 200_000);
    leaveStaged(spool, 'spam', 'a.eml', 'x'.repeat(150_000));
    const first = await PickupBench.start({ spool });
    await first.flowUntilLogged('disk.fault');
    await first.stop();
    expect(stagedIn(spool)).toEqual(['.learnd-a.eml']);
    rmSync(filler);
    const second = await PickupBench.start({ spool });
    await second.flowUntilQueued('spam/a.eml');
    nothingIsLeft(spool);
  });

  test('a file is carried over with its bytes and its mtime', async () => {
    const bytes = Buffer.from(Array.from({ length: 70_000 }, (_, index) => index % 256));
    setMtime(spool.drop('spam', 'a.eml', bytes), 1_700_000_000);
    await bench.start();
    await bench.flowUntilQueued('spam/a.eml');
    expect(bench.queued).toEqual([{ place: 'spam/a.eml', settled: true }]);
    expect(spool.read('queue/spam/a.eml')).toBe(bytes.toString('latin1'));
    const { mtimeMs } = lstatSync(spool.statePath('queue/spam/a.eml'));
    expect(Math.abs(mtimeMs - 1_700_000_000_000)).toBeLessThan(0.01);
    nothingIsLeft(spool);
    expect(bench.held.size).toBe(0);
  });

  test('one pass is over when all that it took lies in the queue', async () => {
    const spool = splitSpool(10_000_000);
    for (let i = 0; i < 20; i += 1) spool.drop('spam', `${i}.eml`, 'x'.repeat(1_000_000));
    const bench = new PickupBench({ spool });
    await bench.pickup.openFolders();
    expect(await bench.onePass()).toBe(0);
    expect(bench.queued).toHaveLength(20);
    nothingIsLeft(spool);
  });

  test('an over-size file stays where it is, said once; others are taken', async () => {
    const spool = splitSpool(1_000);
    spool.drop('spam', 'large.eml', 'x'.repeat(1_001));
    spool.drop('spam', 'just.eml', 'x'.repeat(1_000));
    const bench = await PickupBench.start({ spool });
    await bench.flowUntilQueued('spam/just.eml');
    await bench.pass(60_000);
    expect(spool.dropped('spam')).toEqual(['large.eml']);
    const line = bench.recorder.only('spool.stuck');
    expect(line.fields).toMatchObject({ file: 'large.eml', reason: 'over-size', mode: '0660' });
  });

  test.each([
    ['newer', 4_000_000_000, ['a.eml']],
    ['older', 1_000, []],
  ] as const)(
    'an over-size twin is not waited for, and gives way to a newer one: it is %s',
    async (_age, mtime, left) => {
      const spool = splitSpool(1_000);
      setMtime(spool.drop('spam', 'a.eml', 'x'.repeat(1_001)), mtime);
      spool.drop('ham', 'a.eml', 'ham');
      const bench = await PickupBench.start({ spool });
      await bench.flowToTheEnd('ham/a.eml');
      expect(spool.dropped('spam')).toEqual(left);
    },
  );

  test('a newer verdict that comes while the older one is on its way is the last word', async () => {
    const spool = splitSpool(50_000_000);
    spool.drop('spam', 'a.eml', 'x'.repeat(20_000_000));
    const bench = await PickupBench.start({ spool });
    await bench.flowUntil('it is on its way', () => stagedIn(spool).length > 0);
    setMtime(spool.drop('ham', 'a.eml', 'newer'), 1_000);
    await bench.flowToTheEnd('ham/a.eml');
    expect(spool.read('queue/ham/a.eml')).toBe('newer');
    nothingIsLeft(spool);
  });

  test('what a writer adds when the copy lies in the queue already is carried over, too', async () => {
    const path = spool.drop('spam', 'a.eml', 'first');
    setMtime(path, 4_000_000_000); // the clock goes back before it writes on
    const fd = openSync(path, 'a');
    const synced = actOnce(isStep('FileHandle.sync', '/.'), () => writeSync(fd, ' and more'));
    await bench.start();
    await bench.flowUntilQueued('spam/a.eml');
    closeSync(fd);
    expect(spool.read('queue/spam/a.eml')).toBe('first and more');
    expect(synced()).toBe(2);
    nothingIsLeft(spool);
  });

  test('a file that cannot be copied does not keep out the others', async () => {
    const cannotOpen = isStep('open', '/.learnd-bad.eml');
    const mend = failSteps((step) => (cannotOpen(step) ? 'EIO' : undefined));
    spool.drop('spam', 'bad.eml');
    await bench.start();
    await bench.flowUntilLogged('disk.fault');
    spool.drop('spam', 'a.eml');
    spool.drop('ham', 'b.eml');
    await bench.flowUntilQueued('spam/a.eml', 'ham/b.eml');
    mend();
    await bench.flowUntilQueued('spam/bad.eml');
    nothingIsLeft(spool);
  });

  test('a staged file that could not be removed at once gives way to the newer one all the same', async () => {
    const cannotOpen = isStep('open', '/.learnd-a.eml');
    const mend = failSteps((step) => (cannotOpen(step) ? 'EIO' : undefined));
    setMtime(spool.drop('spam', 'a.eml', 'older'), 1_000);
    await bench.start();
    await bench.flowUntil('it is staged', () => stagedIn(spool).length > 0);
    await bench.flowUntilLogged('disk.fault');
    failOnce('EIO', isStep('unlinkSync', '/.learnd-a.eml'));
    setMtime(spool.drop('ham', 'a.eml', 'newer'), 2_000);
    await bench.flowUntil('it has given way', () => stagedIn(spool).length === 0);
    mend();
    await bench.flowToTheEnd('ham/a.eml');
    nothingIsLeft(spool);
  });

  test('an earlier copy in the queue is not newer than what was staged, whatever its mtime', async () => {
    spool.enqueue('spam', 'a.eml', 'cut of');
    leaveStaged(spool, 'spam', 'a.eml', 'cut off no more');
    setMtime(spool.dropPath('spam', '.learnd-a.eml'), 1_000); // its clock went back meanwhile
    await bench.start();
    await bench.flowUntilQueued('spam/a.eml');
    expect(spool.read('queue/spam/a.eml')).toBe('cut off no more');
    nothingIsLeft(spool);
  });

  test('what a writer adds while its file is being closed never comes into the queue cut off', async () => {
    const path = spool.drop('spam', 'a.eml', 'first');
    const fd = openSync(path, 'a');
    const isClosed = isStep('FileHandle.close', '/.learnd-a.eml');
    const closed = actOnce(isClosed, () => writeSync(fd, ' and more'));
    const taken: string[] = [];
    failSteps((step) => {
      const isTaken = isStep('renameSync', '/a.eml', 'after')(step) && spool.queued.length > 0;
      if (isTaken) taken.push(spool.read('queue/spam/a.eml'));
      return undefined;
    });
    await bench.start();
    await bench.flowUntilQueued('spam/a.eml');
    closeSync(fd);
    expect(closed()).toBe(2);
    expect(taken).toEqual(['first and more']);
    nothingIsLeft(spool);
  });

  test('a file that is swapped for a symlink while it is being opened is no fault', async () => {
    const staged = spool.dropPath('spam', '.learnd-a.eml');
    const swaps = actOnce(isStep('open', '/.learnd-a.eml'), () => {
      unlinkSync(staged);
      symlinkSync('/etc/passwd', staged);
    });
    await bench.start();
    spool.drop('spam', 'a.eml');
    await bench.flowUntil('it was swapped', () => swaps() > 0);
    await bench.pass(2 * SETTLE_MS);
    expect(bench.recorder.of('disk.fault')).toEqual([]);
    expect(bench.recorder.fieldOf('spool.stuck', 'file')).toEqual(['.learnd-a.eml']);
    expect(bench.places).toEqual([]);
    expect(bench.held.size).toBe(0);
  });

  test('a folder that is replaced while the disk is full keeps no key', MOUNTS, async () => {
    const { spool, filler } = spoolOnFullDisk('300k', 200_000);
    const bench = await PickupBench.start({ spool });
    spool.drop('spam', 'a.eml', 'x'.repeat(150_000));
    await bench.flowUntilLogged('disk.fault');
    renameSync(`${spool.lib}/spam`, `${spool.lib}/old`);
    mkdirSync(spool.dropPath('spam'));
    spool.drop('spam', 'a.eml', 'newer');
    await bench.clock.flow(10_000);
    rmSync(filler);
    await bench.flowUntilQueued('spam/a.eml');
    expect(spool.read('queue/spam/a.eml')).toBe('newer');
    expect(readdirSync(`${spool.lib}/old`)).toEqual(['.learnd-a.eml']);
    expect(bench.recorder.fieldOf('disk.fault', 'code')).toEqual(['ENOSPC']);
  });
});

describe('what a crash left half-way', SECOND_FILE_SYSTEM, () => {
  test.each([
    ['right after it was taken', {}],
    ['during the copy', { 'tmp/a.eml': 'the mess' }],
    ['after the copy came into the queue', { 'queue/spam/a.eml': 'the message' }],
  ])('%s is finished', async (_what, left) => {
    setMtime(leaveStaged(spool, 'spam', 'a.eml', 'the message'), 1_000);
    for (const [place, text] of Object.entries(left)) {
      setMtime(put(spool.statePath(place), text), 1_000);
    }
    await bench.start();
    await bench.flowUntilQueued('spam/a.eml');
    expect(spool.queued).toEqual(['spam/a.eml']);
    expect(spool.read('queue/spam/a.eml')).toBe('the message');
    nothingIsLeft(spool);
    expect(bench.held.size).toBe(0);
  });

  test('settles before it is copied: its writer may still be at it', async () => {
    const path = leaveStaged(spool, 'spam', 'a.eml', 'x');
    await bench.start();
    for (let i = 0; i < 20; i += 1) {
      appendFileSync(path, 'x');
      await bench.clock.flow(150);
    }
    expect(bench.queued).toEqual([]);
    await bench.flowUntilQueued('spam/a.eml');
    expect(spool.read('queue/spam/a.eml')).toHaveLength(21);
  });

  test('gives way to a newer verdict in the drop directory', async () => {
    setMtime(leaveStaged(spool, 'spam', 'a.eml', 'older'), 2_000_000_000);
    spool.drop('ham', 'a.eml', 'newer');
    await bench.start();
    await bench.flowToTheEnd('ham/a.eml');
    expect(spool.read('queue/ham/a.eml')).toBe('newer');
    nothingIsLeft(spool);
    expect(bench.superseded).toEqual(['spam/a.eml']);
  });

  // Any moment: no whole number of microseconds.
  const MOMENT = 1_700_000_000_123_456_789n;

  test.each([
    ['spam', 1n],
    ['ham', 0n],
    ['ham', -1n],
  ] as const)(
    'ends with %s where spam is %d ns newer than ham, staged or in the queue: a tie is ham',
    async (winner, nanoseconds) => {
      const times = { spam: MOMENT + nanoseconds, ham: MOMENT };
      for (const verdict of ['spam', 'ham'] as const) {
        const other = verdict === 'spam' ? 'ham' : 'spam';
        const inQueue = spool.enqueue(verdict, `${verdict}-queued.eml`, verdict);
        const staged = leaveStaged(spool, other, `${verdict}-queued.eml`, other);
        setMtimeNs(inQueue, times[verdict]);
        setMtimeNs(staged, times[other]);
        setMtimeNs(leaveStaged(spool, verdict, 'both-staged.eml', verdict), times[verdict]);
      }
      await bench.start();
      await bench.flowUntil('all is carried over', () => {
        return [...stagedIn(spool), ...stagedIn(spool, 'ham')].length === 0;
      });
      expect(spool.queued.map((place) => place.split('/'))).toEqual(
        ['both-staged.eml', 'ham-queued.eml', 'spam-queued.eml'].map((key) => [winner, key]),
      );
    },
  );

  test.each([
    ['spam', 'ham'],
    ['ham', 'spam'],
  ] as const)(
    'a copy of %s in the queue and staged %s of the same moment end with ham',
    async (first, second) => {
      const spool = splitSpool();
      const leaveAll = (verdict: 'spam' | 'ham'): void => {
        for (let i = 0; i < 20; i += 1) {
          const time = MOMENT + BigInt(i) * 123_457n;
          setMtimeNs(leaveStaged(spool, verdict, `${i}.eml`, verdict), time);
        }
      };
      leaveAll(first);
      const before = await PickupBench.start({ spool });
      await before.flowUntil('all are copied', () => before.queued.length === 20);
      await before.stop();
      leaveAll(second);
      const bench = await PickupBench.start({ spool });
      await bench.flowUntil('all is carried over', () => stagedIn(spool, second).length === 0);
      expect(new Set(spool.queued.map((place) => place.split('/')[0]))).toEqual(new Set(['ham']));
      expect(spool.queued).toHaveLength(20);
    },
  );

  test('waits while its key is in flight', async () => {
    leaveStaged(spool, 'spam', 'a.eml', 'body');
    bench.locks.holdKey('a.eml');
    await bench.start();
    await bench.pass(20_000);
    expect(bench.queued).toEqual([]);
    expect([...bench.held]).toEqual(['a.eml']);
    bench.locks.releaseKey('a.eml');
    await bench.flowUntilQueued('spam/a.eml');
  });

  const unfit: [what: string, make: (path: string, spool: TestSpool) => unknown][] = [
    ['over-size', (path) => put(path, 'x'.repeat(1_001))],
    ['with several links', (path, { lib }) => linkSync(put(`${lib}/outside`, 'secret'), path)],
    ['as a FIFO', (path) => Fifo.make(path)],
  ]; // prettier-ignore

  test.each(unfit)(
    '%s stays unread, said once, and gives way to a newer verdict',
    async (_, make) => {
      const spool = splitSpool(1_000);
      const made = await make(spool.dropPath('spam', '.learnd-a.eml'), spool);
      const bench = await PickupBench.start({ spool });
      await bench.pass(60_000);
      expect(stagedIn(spool)).toEqual(['.learnd-a.eml']);
      expect(bench.recorder.fieldOf('spool.stuck', 'file')).toEqual(['.learnd-a.eml']);
      if (made instanceof Fifo) expect(await made.wasOpened()).toBe(false);
      spool.drop('ham', 'a.eml', 'newer');
      await bench.flowUntilQueued('ham/a.eml');
      expect(stagedIn(spool)).toEqual([]);
    },
  );

  test('in thousands, which no crash leaves, keeps no message from being taken', async () => {
    for (let i = 0; i < 2_200; i += 1) {
      if (i % 11 === 0) symlinkSync('/', spool.dropPath('spam', `.learnd-${i}.eml`));
      else truncateSync(leaveStaged(spool, 'spam', `${i}.eml`, 'body'));
    }
    await bench.start();
    for (let i = 0; i < 20; i += 1) spool.drop('ham', `${i}.eml`);
    const start = bench.clock.monotonic();
    await bench.flowUntil('all are taken', () => bench.queued.length === 20);
    expect(bench.clock.monotonic() - start).toBeLessThan(5 * SETTLE_MS);
    expect(bench.recorder.lines.length).toBeLessThanOrEqual(1_000);
    expect(bench.held.size).toBeLessThanOrEqual(1_020);
  });

  test('and was put back into a folder that is in use gives way to a newer verdict, too', async () => {
    const spool = new TestSpool();
    const bench = await PickupBench.start({ spool });
    await bench.pass(1_000);
    setMtime(put(spool.dropPath('spam', '.learnd-a.eml'), 'older', 0o600), 2_000_000_000);
    spool.drop('ham', 'a.eml', 'newer');
    await bench.pass(60_000);
    expect(spool.queued).toEqual(['ham/a.eml']);
    nothingIsLeft(spool);
  });

  test('in more files than are known at a time gives way to newer verdicts', async () => {
    for (let i = 0; i < 1_010; i += 1) {
      leaveStaged(spool, 'spam', `${i}.eml`, ''); // empty ones are waited for
      spool.drop('ham', `${i}.eml`);
    }
    await bench.start();
    await bench.flowUntil('all are queued', () => bench.queued.length === 1_010);
    nothingIsLeft(spool);
  });

  test('is nothing that only looks like it', async () => {
    const names = ['.learnd-', '.learnd-a b', '.learnd-ü', `.learnd-${'a'.repeat(201)}`, '.learnd'];
    for (const name of names) writeFileSync(spool.dropPath('spam', name), 'body');
    await bench.start();
    await bench.pass(20_000);
    expect(bench.queued).toEqual([]);
    expect(spool.dropped('spam')).toEqual(names.sort());
  });

  test('on what has become one file system is finished too', async () => {
    const spool = new TestSpool();
    leaveStaged(spool, 'spam', 'a.eml', 'body');
    const bench = await PickupBench.start({ spool });
    await bench.flowUntilQueued('spam/a.eml');
    nothingIsLeft(spool);
  });
});
