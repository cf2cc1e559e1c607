import { mkdirSync, rmSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { DISPOSAL } from '../../src/delivery/attempt.ts';
import { DeliveryBench } from '../support/delivery-bench.ts';
import { failOnce, failSteps } from '../support/fs-steps.ts';
import { TOO_LARGE, to } from '../support/scripted-trainer.ts';

/** What an error of the file system does to messages in the queue: nothing that stays. */

describe('the list of the queue', () => {
  test('that cannot be read is a fault, and works again though nothing is there', async () => {
    const bench = new DeliveryBench();
    const mend = failSteps(({ call }) => (call === 'opendirSync' ? 'EIO' : undefined));
    await bench.flow(20_000);
    expect(bench.recorder.fieldOf('disk.fault', 'place')).toEqual([bench.spool.statePath('queue')]);
    mend();
    await bench.flowUntil('it is said to be over', () => !bench.faults.isAny);
    expect(bench.recorder.of('disk.ok')).toHaveLength(1);
  });

  test('of which a message cannot be read is a fault, and nobody’s attempt', async () => {
    const bench = await DeliveryBench.warm();
    bench.put('a');
    const read = bench.spool.queue.read.bind(bench.spool.queue);
    bench.spool.queue.read = () =>
      Promise.reject(Object.assign(new Error('no'), { code: 'EMFILE' }));
    await bench.flow(60_000);
    expect(bench.trainer.posts).toEqual([]);
    expect(bench.recorder.fieldOf('disk.fault', 'code')).toEqual(['EMFILE']);
    bench.spool.queue.read = read;
    await bench.finish();
    expect(bench.recorder.fieldOf('message.learned', 'attempt')).toEqual([1]);
    expect(bench.recorder.of('disk.ok')).toHaveLength(1);
  });

  test('is read again when the queue may hold more than was told', async () => {
    const bench = await DeliveryBench.warm();
    bench.enqueue('a');
    const start = bench.clock.monotonic();
    bench.scheduler.rescan();
    await bench.finish();
    expect(bench.clock.monotonic() - start).toBeLessThan(5_000);
  });
});

describe('the disposal', () => {
  test.each(['EACCES', 'EXDEV', 'ENOSPC', 'ENOTDIR'])(
    'that fails with %s is everybody’s: a line a minute, and nothing is posted meanwhile',
    async (code) => {
      const bench = await DeliveryBench.warm({ after: 'archive' });
      const mend = failSteps(({ call }) => (call === 'renameSync' ? code : undefined));
      bench.put('first');
      await bench.flowUntil('it is said', () => bench.recorder.of('disk.fault').length > 0);
      for (let i = 0; i < 50; i += 1) bench.put(`m${i}`);
      await bench.flow(4_000);
      expect(bench.trainer.names).toEqual(['first', 'first']);
      expect(bench.recorder.fieldOf('disk.fault', 'place')).toEqual([DISPOSAL]);
      await bench.flow(56_000);
      expect(bench.recorder.of('disk.fault').length).toBeLessThanOrEqual(2);
      mend();
      await bench.finish();
      expect(bench.trainer.of('first')).toHaveLength(2);
      expect(bench.events.counts).toMatchObject({ learned: 52, quarantined: 0 });
      expect(bench.recorder.fieldOf('disk.ok', 'place')).toEqual([DISPOSAL]);
    },
  );

  test('of one file that works again is said to, as is that of one that gave way', async () => {
    const bench = new DeliveryBench({ after: 'archive' });
    for (const key of ['a', 'b']) {
      mkdirSync(bench.spool.statePath(`archive/spam/2026-03-14/${key}`), { recursive: true });
      bench.put(key);
    }
    await bench.flowUntil('both are said', () => bench.recorder.of('disk.fault').length === 2);
    expect(bench.recorder.fieldOf('disk.fault', 'place').sort()).toEqual([
      `${DISPOSAL}, of a`,
      `${DISPOSAL}, of b`,
    ]);
    rmSync(bench.spool.statePath('archive/spam/2026-03-14/a'), { recursive: true });
    await bench.flowUntil('one is learned', () => bench.events.counts.learned === 1);
    bench.spool.queue.removeKey('b');
    bench.scheduler.superseded('spam', 'b');
    expect(bench.faults.isAny).toBe(false);
  });

  test.each(['remove', 'archive'] as const)(
    'that took effect though it failed (%s): the message is learned, not withdrawn',
    async (after) => {
      const bench = new DeliveryBench({ after });
      failOnce('EIO', ({ call, when }) => {
        return when === 'after' && call === (after === 'remove' ? 'unlinkSync' : 'renameSync');
      });
      bench.put('a');
      await bench.flowUntil('it ends', () => bench.events.counts.learned > 0);
      expect(bench.events.counts).toMatchObject({ learned: 1, withdrawn: 0 });
      expect(bench.trainer.names).toEqual(['a', 'a']);
    },
  );

  test('into quarantine that took effect though it failed is said', async () => {
    const bench = new DeliveryBench();
    bench.trainer.plays(to('a', TOO_LARGE));
    failOnce('EIO', ({ call, when, path }) => {
      return when === 'after' && call === 'renameSync' && path.endsWith('/a');
    });
    bench.put('a');
    await bench.flowUntil('it ends', () => bench.events.counts.quarantined > 0);
    expect(bench.quarantined).toEqual(['a']);
    expect(bench.spool.names('tmp')).toEqual([]);
    expect(bench.filesOf('message.quarantined')).toEqual(['a']);
  });
});
