import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { Folder } from '../../src/spool/folder.ts';
import { openStateDir } from '../../src/spool/state-dir.ts';
import { SECOND_FILE_SYSTEM } from '../support/needs.ts';
import { failOnce, failSteps, isStep, resolved } from '../support/fs-steps.ts';
import { PickupBench } from '../support/pickup-bench.ts';
import { folderElsewhere } from '../support/temporary.ts';
import { TestSpool, put } from '../support/test-spool.ts';
import type { FsStep } from '../support/fs-steps.ts';

/** What an error of the file system does to the way into the queue: it passes, and nothing stays. */

let bench: PickupBench;
let spool: TestSpool;

beforeEach(() => {
  bench = new PickupBench();
  ({ spool } = bench);
});

describe('a folder', () => {
  test.each(['EIO', 'EACCES'])('is not let go because its path answers %s', (code) => {
    const { lib } = spool;
    const folder = Folder.open(`${lib}/spam`);
    const mend = failSteps(({ call }) => (call === 'lstatSync' ? code : undefined));
    expect(folder.isCurrent()).toBe(true);
    mend();
    rmSync(`${lib}/spam`, { recursive: true });
    expect(folder.isCurrent()).toBe(false);
    folder.close();
  });
});

describe('a class folder', () => {
  test('of NFS that was made anew under the inode number of the old one is opened anew', async () => {
    let isStale = false;
    failSteps((step) => {
      if (step.call === 'openSync' && step.path === `${spool.lib}/spam`) isStale = false;
      const isByDescriptor = step.call === 'fstatSync' || step.path.startsWith('/proc/self/fd/');
      return isStale && isByDescriptor && resolved(step).startsWith(`${spool.lib}/spam`)
        ? 'ESTALE'
        : undefined;
    });
    await bench.start();
    isStale = true;
    spool.drop('spam', 'a.eml');
    await bench.clock.flow(30_000, 100);
    expect(spool.queued).toEqual(['spam/a.eml']);
    expect(bench.faults.current).toEqual([]);
  });

  test('that cannot be opened for want of descriptors is a fault, and its end is said', async () => {
    const mend = failSteps((step) => (isStep('openSync', '/spam')(step) ? 'EMFILE' : undefined));
    spool.drop('spam', 'a.eml');
    spool.drop('ham', 'b.eml');
    await bench.start();
    await bench.clock.flow(30_000, 100);
    expect(bench.places).toEqual([]); // `spam/` may hold an older b.eml
    expect(bench.recorder.fieldOf('disk.fault', 'place')).toEqual([`${spool.lib}/spam`]);
    expect(bench.recorder.of('spool.missing')).toEqual([]);
    mend();
    await bench.flowUntilQueued('spam/a.eml', 'ham/b.eml');
    expect(bench.recorder.of('disk.ok')).toHaveLength(1);
  });

  test(
    'is not taken for one on the same file system because the trial failed',
    SECOND_FILE_SYSTEM,
    async () => {
      const spool = new TestSpool({ stateDir: `${folderElsewhere()}/state` });
      const bench = new PickupBench({ spool });
      failOnce('EIO', isStep('renameSync', '-probe'));
      spool.drop('spam', 'a.eml');
      await bench.start();
      await bench.flowUntilQueued('spam/a.eml');
      expect(bench.drop.get('spam')?.elsewhere).toBe(true);
    },
  );

  test('that could not be locked is opened and locked again, and what is staged in it found', async () => {
    let locks = 0;
    const bench = new PickupBench({
      lock: () => {
        locks += 1;
        return locks === 3
          ? Promise.reject(Object.assign(new Error('no'), { code: 'EMFILE' }))
          : Promise.resolve('locked');
      },
    });
    const { spool } = bench;
    await bench.start();
    expect(locks).toBe(2);
    renameSync(spool.dropPath('spam'), `${spool.lib}/old`);
    mkdirSync(spool.dropPath('spam'));
    put(spool.dropPath('spam', '.learnd-a.eml'), 'body');
    await bench.flowUntilQueued('spam/a.eml');
    expect(locks).toBe(4);
    expect(bench.recorder.fieldOf('disk.fault', 'code')).toEqual(['EMFILE']);
    await bench.flowUntilLogged('disk.ok');
  });

  test('works again when its files were withdrawn: nothing is left that could fail', async () => {
    await bench.start();
    const mend = failSteps((step) => (step.call === 'renameSync' ? 'EROFS' : undefined));
    const path = spool.drop('spam', 'a.eml');
    await bench.flowUntilLogged('disk.fault');
    await bench.clock.flow(30_000);
    expect(bench.recorder.of('disk.fault')).toHaveLength(1);
    expect(bench.recorder.of('disk.ok')).toEqual([]);
    mend();
    rmSync(path);
    await bench.flowUntilLogged('disk.ok');
  });
});

describe('the spool', () => {
  test.each(['EIO', 'EACCES'])('is not said to be missing where its stats answer %s', (code) => {
    const { lib } = spool;
    failSteps(({ call }) => (call === 'statSync' ? code : undefined));
    const options = { path: `${lib}/.learnd`, libDir: lib, uid: 0, gid: 0 };
    expect(() => openStateDir(options)).toThrow(expect.objectContaining({ code }));
  });
});

describe('a file', () => {
  test.each(['lstatSync', 'renameSync'])(
    'whose %s fails for good does not keep out the others',
    async (call) => {
      const mend = failSteps((step) => (isStep(call, '/bad.eml')(step) ? 'EIO' : undefined));
      for (let i = 0; i < 5; i += 1) spool.drop('spam', `before-${i}.eml`);
      spool.drop('spam', 'bad.eml');
      for (let i = 0; i < 5; i += 1) spool.drop('spam', `after-${i}.eml`);
      await bench.start();
      const all = [0, 1, 2, 3, 4].flatMap((i) => [`spam/before-${i}.eml`, `spam/after-${i}.eml`]);
      await bench.flowUntilQueued(...all);
      spool.drop('spam', 'later.eml');
      await bench.flowUntilQueued('spam/later.eml');
      mend();
      await bench.flowUntilQueued('spam/bad.eml');
    },
  );

  test(
    'that is refused as on another file system, whatever the trial said, is carried over',
    SECOND_FILE_SYSTEM,
    async () => {
      failOnce(
        'EXDEV',
        (step) => step.call === 'renameSync' && resolved(step) === `${spool.lib}/spam/a.eml`,
      );
      spool.drop('spam', 'a.eml', 'whole');
      await bench.start();
      await bench.flowUntilQueued('spam/a.eml');
      expect(spool.read('queue/spam/a.eml')).toBe('whole');
      expect(bench.drop.get('spam')?.elsewhere).toBe(true);
    },
  );

  test('of a disk that fails is not taken for an unreadable one', async () => {
    await bench.start();
    const mend = failSteps(({ call }) => (call === 'accessSync' ? 'EIO' : undefined));
    spool.drop('spam', 'a.eml');
    await bench.flowUntilLogged('disk.fault');
    mend();
    await bench.flowUntilQueued('spam/a.eml');
  });

  const lies: [what: string, isIt: (step: FsStep) => boolean][] = [
    ['whose rename took effect though it failed', isStep('renameSync', '/a.eml', 'after')],
    ['that was taken, but then could not be looked at', isStep('lstatSync', '/a.eml')],
  ];

  test.each(lies)('%s is looked for in the queue', async (_what, isIt) => {
    await bench.start();
    failOnce('EACCES', (step) => isIt(step) && spool.queued.length > 0);
    spool.drop('spam', 'a.eml');
    await bench.flowUntil('it lies in the queue', () => spool.queued.length > 0);
    await bench.pass(10_000);
    expect(bench.faults.isAny).toBe(false);
    expect(bench.faulted).toBe(1);
    expect(bench.recorder.of('spool.stuck')).toEqual([]);
  });
});

describe('with the state dir on another file system', SECOND_FILE_SYSTEM, () => {
  function splitSpool(): TestSpool {
    return new TestSpool({ stateDir: `${folderElsewhere()}/state` });
  }

  test.each(['EIO', 'ENOENT'])(
    'a file that was staged though the rename answered %s is carried over',
    async (code) => {
      const bench = await PickupBench.start({ spool: splitSpool() });
      failOnce(code, isStep('renameSync', '/a.eml', 'after'));
      bench.spool.drop('spam', 'a.eml');
      await bench.flowUntilQueued('spam/a.eml');
      expect(bench.spool.dropped('spam')).toEqual([]);
      expect(bench.held.size).toBe(0);
    },
  );

  test('a stop lets go of the keys of what is half-way: the next tenure carries it over', async () => {
    const bench = await PickupBench.start({ spool: splitSpool() });
    failSteps(({ call, path }) => (call === 'open' && path.endsWith('/a.eml') ? 'EIO' : undefined));
    bench.spool.drop('spam', 'a.eml');
    await bench.flowUntilLogged('disk.fault');
    expect([...bench.held]).toEqual(['a.eml']);
    await bench.stop();
    expect([...bench.held]).toEqual([]);
    expect(bench.recorder.of('disk.ok')).toEqual([]);
  });
});

test('an over-size file is queued although the system once says that the queue is elsewhere', async () => {
  spool.drop('spam', 'large.eml', 'x'.repeat(spool.maxBytes + 1));
  // For both renames: into the queue, and within the folder.
  const mend = failSteps(({ call, path }) =>
    call === 'renameSync' && !path.endsWith('-probe') ? 'EXDEV' : undefined,
  );
  await bench.start();
  await bench.clock.flow(20_000, 100);
  expect(bench.queued).toEqual([]);
  mend();
  await bench.flowUntilQueued('spam/large.eml');
});
