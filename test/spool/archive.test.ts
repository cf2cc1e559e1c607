import { appendFileSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { SteadyClock, disposeOf, removeOldDays } from '../../src/spool/archive.ts';
import type { CheckResult } from '../../src/spool/queue.ts';
import type { QueueEntry } from '../../src/spool/message.ts';
import type { Verdict } from '../../src/verdict.ts';
import { put, TestSpool } from '../support/test-spool.ts';

const NOON = Date.UTC(2026, 2, 14, 12);
const DAY_MS = 86_400_000;

let spool: TestSpool;
let now: number;

beforeEach(() => {
  spool = new TestSpool();
  now = NOON;
});

function dispose(entry: QueueEntry, after: 'remove' | 'archive' = 'archive'): CheckResult {
  const { archive } = spool.stateDir;
  return disposeOf(entry, { queue: spool.queue, archive, after, wall: () => now });
}

/** A message in the queue. */
function message(verdict: Verdict, key = 'a.eml', body = `${verdict} ${key}`): QueueEntry {
  spool.enqueue(verdict, key, body);
  return spool.entry(verdict, key);
}

describe.each(['remove', 'archive'] as const)('%s', (after) => {
  test('leaves a file that has changed, and says so', () => {
    const entry = message('spam');
    appendFileSync(spool.statePath('queue/spam/a.eml'), 'more');
    expect(dispose(entry, after)).toMatchObject({ kind: 'changed' });
    expect(spool.queued).toEqual(['spam/a.eml']);
    expect(spool.names('archive/spam')).toEqual([]);
  });

  test('leaves another file in its place, though it looks the same', () => {
    const entry = message('spam', 'a.eml', 'body');
    rmSync(spool.statePath('queue/spam/a.eml'));
    put(spool.statePath('tmp/x'), 'keeps the inode from being used again');
    message('spam', 'a.eml', 'body');
    expect(dispose(entry, after)).toMatchObject({ kind: 'changed' });
    expect(spool.queued).toEqual(['spam/a.eml']);
  });

  test('takes the message out of the queue, and no other; a second time it is gone', () => {
    message('ham', 'a.eml');
    message('spam', 'b.eml');
    const entry = message('spam');
    expect(dispose(entry, after)).toBeUndefined();
    expect(spool.queued).toEqual(['ham/a.eml', 'spam/b.eml']);
    expect(dispose(entry, after)).toEqual({ kind: 'gone' });
  });
});

describe('the archive', () => {
  test('keeps the message as it was, under its verdict and the day in UTC', () => {
    now = Date.UTC(2026, 11, 31, 23, 59, 59);
    dispose(message('ham'));
    expect(readFileSync(spool.statePath('archive/ham/2026-12-31/a.eml'), 'utf8')).toBe('ham a.eml');
    now += 1_000;
    dispose(message('ham', 'b.eml'));
    expect(spool.names('archive/ham')).toEqual(['2026-12-31', '2027-01-01']);
  });

  test('loses the other verdict’s copy of the same day, and keeps that of another day', () => {
    dispose(message('spam'));
    dispose(message('spam', 'b.eml'));
    dispose(message('ham'));
    expect(spool.names('archive/ham/2026-03-14')).toEqual(['a.eml']);
    expect(spool.names('archive/spam/2026-03-14')).toEqual(['b.eml']);
    now += DAY_MS;
    dispose(message('ham', 'b.eml'));
    expect(spool.names('archive/spam/2026-03-14')).toEqual(['b.eml']);
  });

  test('loses the copies of later days: its clock was ahead', () => {
    now += 30 * DAY_MS;
    dispose(message('spam'));
    dispose(message('ham', 'b.eml'));
    now -= 30 * DAY_MS;
    dispose(message('ham'));
    dispose(message('ham', 'b.eml', 'again'));
    expect(spool.names('archive/spam/2026-04-13')).toEqual([]);
    expect(spool.names('archive/ham/2026-04-13')).toEqual([]);
    expect(spool.names('archive/ham/2026-03-14')).toEqual(['a.eml', 'b.eml']);
  });

  test('loses what is overturned also where messages are removed by now, and nothing else', () => {
    dispose(message('spam'));
    dispose(message('spam', 'b.eml'));
    dispose(message('ham', 'c.eml'));
    now += DAY_MS;
    dispose(message('ham'), 'remove');
    dispose(message('ham', 'c.eml'), 'remove');
    expect(spool.names('archive/spam/2026-03-14')).toEqual(['b.eml']);
    expect(spool.names('archive/ham/2026-03-14')).toEqual(['c.eml']);
    expect(spool.queued).toEqual([]);
  });

  test('that cannot take it is a fault: the message stays in the queue', () => {
    put(spool.statePath('archive/spam/2026-03-14'), 'a file, of all things');
    const entry = message('spam');
    expect(() => dispose(entry)).toThrow(/ENOTDIR/);
    expect(spool.queued).toEqual(['spam/a.eml']);
  });
});

describe('retention', () => {
  const OLD = ['2025-03-31', '2026-01-01'];
  const KEPT = ['2026-03-01', '2026-03-14'];
  let asked: number;

  beforeEach(() => {
    asked = 0;
    for (const day of [...OLD, ...KEPT]) {
      mkdirSync(spool.statePath(`archive/spam/${day}`));
      put(spool.statePath(`archive/spam/${day}/a.eml`), 'body');
    }
  });

  /** The days that are left. */
  async function retain(days: number, witness: number | undefined): Promise<string[]> {
    await removeOldDays({
      archive: spool.stateDir.archive,
      days,
      wall: () => now,
      witnessTime: () => {
        asked += 1;
        return Promise.resolve(witness);
      },
    });
    return spool.names('archive/spam');
  }

  test.each([
    ['when nobody can say what time it is', undefined],
    ['when the clocks differ by more than a day', NOON + DAY_MS + 1],
    ['when ours is behind by more', NOON - DAY_MS - 1],
  ])('removes nothing %s', async (_what, witness) => {
    expect(await retain(30, witness)).toEqual([...OLD, ...KEPT]);
  });

  test('removes nothing when 0 days are to be kept, or nothing is old, and then asks nobody', async () => {
    expect(await retain(0, NOON)).toEqual([...OLD, ...KEPT]);
    expect(await retain(3_650, NOON)).toEqual([...OLD, ...KEPT]);
    expect(asked).toBe(0);
  });

  test.each([0, DAY_MS, -DAY_MS])('removes days with all in them, clocks %d apart', async (skew) =>
    expect(await retain(30, NOON + skew)).toEqual(KEPT),
  );

  test('removes nothing that is no day of the archive, and of a symlink the link', async () => {
    mkdirSync(spool.statePath('archive/spam/2020-01-01.bak'));
    mkdirSync(`${spool.lib}/precious`);
    put(`${spool.lib}/precious/a.eml`, 'body');
    symlinkSync(`${spool.lib}/precious`, spool.statePath('archive/spam/2020-01-01'));
    expect(await retain(30, NOON)).toEqual(['2020-01-01.bak', ...KEPT]);
    expect(spool.names('../precious')).toEqual(['a.eml']);
  });
});

describe('where nobody else tells the time, our own clock', () => {
  const clock = { monotonic: () => passed, wall: () => NOON + passed + ahead };
  let [passed, ahead] = [0, 0];

  beforeEach(() => {
    [passed, ahead] = [0, 0];
  });

  test('is trusted once it has gone without a jump for a day', () => {
    const steady = new SteadyClock(clock);
    passed = DAY_MS - 1;
    expect(steady.time()).toBeUndefined();
    passed = DAY_MS;
    expect(steady.time()).toBe(NOON + DAY_MS);
  });

  test('is not trusted after a jump until another day has passed', () => {
    const steady = new SteadyClock(clock);
    passed = 3 * DAY_MS;
    ahead = 3_650 * DAY_MS;
    expect(steady.time()).toBeUndefined();
    passed += DAY_MS - 1;
    expect(steady.time()).toBeUndefined();
    passed += 1;
    expect(steady.time()).toBe(clock.wall());
  });
});
