import { existsSync, mkdirSync, renameSync, rmSync, unlinkSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Verdict } from '../../src/verdict.ts';
import { QuarantinedMessages } from '../../src/spool/quarantined.ts';
import { PickupBench } from '../support/pickup-bench.ts';
import { put, setMtimeNs } from '../support/test-spool.ts';
import type { TestSpool } from '../support/test-spool.ts';
import { failSteps, isStep } from '../support/fs-steps.ts';

let bench: PickupBench;
let spool: TestSpool;

/** Puts a message where an operator's `release` puts it. */
function release(verdict: Verdict, key = 'a.eml', body = key): string {
  return put(spool.statePath(`release/${verdict}/${key}`), body);
}

function quarantine(verdict: Verdict, key = 'a.eml', body = key): void {
  put(spool.statePath(`quarantine/${verdict}/${key}`), body);
  put(spool.statePath(`quarantine/${verdict}/${key}.json`), '{"reason":"500 no"}', 0o600);
}

function filesOf(place: string): string[] {
  return ['spam', 'ham'].flatMap((verdict) =>
    spool.names(`${place}/${verdict}`).map((name) => `${verdict}/${name}`),
  );
}

beforeEach(async () => {
  bench = new PickupBench();
  ({ spool } = bench);
  // As when the daemon becomes the owner.
  await bench.pickup.openFolders();
});

describe('a released message gives way', () => {
  test.each(['spam', 'ham'] as const)('to one in the queue (%s)', async (verdict) => {
    spool.enqueue(verdict, 'a.eml', 'newer');
    release('spam', 'a.eml', 'older');
    expect(await bench.requeue.take()).toBe(0);
    expect(spool.queued).toEqual([`${verdict}/a.eml`]);
    expect(spool.read(`queue/${verdict}/a.eml`)).toBe('newer');
    expect(filesOf('release')).toEqual([]);
    expect(bench.queued).toEqual([]);
    expect(bench.superseded).toEqual(['spam/a.eml']);
  });

  test('to one that is half-way between two file systems', async () => {
    spool.drop('ham', '.learnd-a.eml', 'newer');
    release('spam');
    expect(await bench.requeue.take()).toBe(0);
    expect(spool.queued).toEqual([]);
    expect(filesOf('release')).toEqual([]);
  });

  test('to one in the drop directory, but not before that is picked up', async () => {
    release('spam', 'a.eml', 'older');
    spool.drop('ham', 'a.eml', 'newer');
    expect(await bench.requeue.take()).toBe(1);
    expect(spool.queued).toEqual([]);
    expect(filesOf('release')).toEqual(['spam/a.eml']);
    bench.pickup.start();
    await bench.flowUntilQueued('ham/a.eml');
    expect(filesOf('release')).toEqual([]);
    expect(spool.queued).toEqual(['ham/a.eml']);
    expect(bench.places).toEqual(['ham/a.eml']);
  });

  test.each([
    ['spam', 1n],
    ['ham', 0n],
    ['ham', -1n],
  ] as const)('to %s of two where spam is %d ns newer', async (winner, nanoseconds) => {
    setMtimeNs(release('spam'), 1_700_000_000_123_456_789n + nanoseconds);
    setMtimeNs(release('ham'), 1_700_000_000_123_456_789n);
    expect(await bench.requeue.take()).toBe(0);
    expect(spool.queued).toEqual([`${winner}/a.eml`]);
  });

  test('to a newer verdict that is picked up while an operator releases it', async () => {
    bench.pickup.start();
    quarantine('spam', 'other.eml');
    // As after the rename of an interrupted command: its reason is still there.
    quarantine('spam');
    renameSync(spool.statePath('quarantine/spam/a.eml'), spool.statePath('release/spam/a.eml'));
    spool.drop('ham', 'a.eml');
    await bench.flowUntilQueued('ham/a.eml');
    expect(filesOf('release')).toEqual([]);
    expect(filesOf('quarantine')).toEqual(['spam/other.eml', 'spam/other.eml.json']);
  });
});

describe('a released message waits', () => {
  test('while its key is in flight', async () => {
    bench.locks.holdKey('a.eml');
    release('spam');
    expect(await bench.requeue.take()).toBe(1);
    expect(spool.queued).toEqual([]);
    bench.locks.releaseKey('a.eml');
    expect(await bench.requeue.take()).toBe(0);
    expect(spool.queued).toEqual(['spam/a.eml']);
  });

  test('for a file that isn’t finished, and is taken when that vanishes', async () => {
    release('spam');
    const unfinished = spool.drop('ham', 'a.eml', 'unf', 0o600);
    expect(await bench.requeue.take()).toBe(1);
    unlinkSync(unfinished);
    expect(await bench.requeue.take()).toBe(0);
    expect(spool.queued).toEqual(['spam/a.eml']);
  });

  test('until a class folder is open, which may hold a newer verdict', async () => {
    release('spam', 'a.eml', 'older');
    renameSync(spool.dropPath('ham'), `${spool.lib}/old`);
    mkdirSync(spool.dropPath('ham'));
    spool.drop('ham', 'a.eml', 'newer');
    expect(await bench.requeue.take()).toBe(1);
    expect(spool.queued).toEqual([]);
    bench.pickup.start();
    await bench.flowUntilQueued('ham/a.eml');
    expect(filesOf('release')).toEqual([]);
  });
});

describe('a released message', () => {
  test('comes into the queue as one that is new and has to settle', async () => {
    release('spam', 'a.eml', 'body');
    expect(await bench.requeue.take()).toBe(0);
    expect(bench.queued).toEqual([{ place: 'spam/a.eml', settled: false }]);
    expect(spool.read('queue/spam/a.eml')).toBe('body');
    expect(filesOf('release')).toEqual([]);
  });

  test.each(['taken', 'superseded'])(
    'goes after its reason where it is %s: what a kill leaves is looked at again',
    async (how) => {
      quarantine('spam');
      renameSync(spool.statePath('quarantine/spam/a.eml'), spool.statePath('release/spam/a.eml'));
      if (how === 'superseded') spool.enqueue('ham', 'a.eml', 'newer');
      const isRemoval = isStep('unlinkSync', '', 'after');
      failSteps((step) => (isRemoval(step) ? 'EIO' : undefined));
      await bench.requeue.take();
      expect(filesOf('quarantine')).toEqual([]);
      expect(filesOf('release')).toEqual(['spam/a.eml']);
    },
  );

  test('meets a local fault, and is tried again', async () => {
    release('spam');
    rmSync(spool.statePath('queue/spam'), { recursive: true });
    expect(await bench.requeue.take()).toBe(1);
    expect(bench.recorder.of('disk.fault')).toHaveLength(1);
    expect(filesOf('release')).toEqual(['spam/a.eml']);
  });

  test('is not taken any more after the stop', async () => {
    release('spam');
    bench.ending.abort();
    await bench.requeue.take();
    expect(filesOf('release')).toEqual(['spam/a.eml']);
  });
});

describe('an operator’s release', () => {
  function opened(): QuarantinedMessages {
    const messages = QuarantinedMessages.open(spool.stateDir.root.path);
    if (messages === undefined) throw new Error('no state dir');
    return messages;
  }

  test('may be interrupted after each step and said again', () => {
    quarantine('spam');
    const reason = spool.statePath('quarantine/spam/a.eml.json');
    renameSync(spool.statePath('quarantine/spam/a.eml'), spool.statePath('release/spam/a.eml'));
    using messages = opened();
    expect(messages.release({ verdict: 'spam', key: 'a.eml' })).toBe('gone');
    expect(existsSync(reason)).toBe(false);
    expect(messages.release({ verdict: 'spam', key: 'a.eml' })).toBe('gone');
    expect(filesOf('release')).toEqual(['spam/a.eml']);
  });

  test('leaves the reason of a message that came back meanwhile', () => {
    quarantine('spam');
    using messages = opened();
    expect(messages.release({ verdict: 'spam', key: 'a.eml' })).toBe('done');
    // The daemon was quick: it is in quarantine once more, for another reason.
    quarantine('spam', 'a.eml', 'again');
    spool.quarantine.forgetReason('spam', 'a.eml');
    expect(spool.names('quarantine/spam')).toEqual(['a.eml', 'a.eml.json']);
  });
});

test('a removal by another process at the same moment is no error', () => {
  quarantine('spam');
  const folder = spool.stateDir.quarantine.spam;
  const lstat = folder.lstat.bind(folder);
  // The operator's command comes between the look and the removal.
  folder.lstat = (name) => {
    const stats = lstat(name);
    rmSync(spool.statePath(`quarantine/spam/${name}`), { force: true });
    return stats;
  };
  expect(folder.removeFile('a.eml')).toBe(false);
});
