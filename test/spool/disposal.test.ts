import { appendFileSync, chmodSync, lstatSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { Disposal } from '../../src/spool/disposal.ts';
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

function disposal(after: 'remove' | 'archive'): Disposal {
  const { archive } = spool.stateDir;
  return new Disposal({ queue: spool.queue, archive, after, wall: () => now });
}

/** A message in the queue. */
function message(verdict: Verdict, key = 'a.eml', body = `${verdict} ${key}`): QueueEntry {
  spool.enqueue(verdict, key, body);
  const entry = spool.queue.find(verdict, key);
  if (entry === undefined) throw new Error('it is gone');
  return entry;
}

describe.each(['remove', 'archive'] as const)('%s', (after) => {
  test('leaves a file that has changed, and says so', () => {
    const entry = message('spam');
    appendFileSync(spool.statePath('queue/spam/a.eml'), 'more');
    expect(disposal(after).dispose(entry)).toMatchObject({ kind: 'changed' });
    expect(spool.queued).toEqual(['spam/a.eml']);
    expect(spool.names('archive/spam')).toEqual([]);
  });

  test('leaves another file in its place, though it looks the same', () => {
    const entry = message('spam', 'a.eml', 'body');
    rmSync(spool.statePath('queue/spam/a.eml'));
    put(spool.statePath('tmp/x'), 'keeps the inode from being used again');
    message('spam', 'a.eml', 'body');
    expect(disposal(after).dispose(entry)).toMatchObject({ kind: 'changed' });
    expect(spool.queued).toEqual(['spam/a.eml']);
  });

  test('says of a file that is gone that it is', () => {
    const entry = message('spam');
    rmSync(spool.statePath('queue/spam/a.eml'));
    expect(disposal(after).dispose(entry)).toEqual({ kind: 'gone' });
  });

  test('takes the message out of the queue, and no other', () => {
    message('ham', 'a.eml');
    message('spam', 'b.eml');
    expect(disposal(after).dispose(message('spam'))).toBeUndefined();
    expect(spool.queued).toEqual(['ham/a.eml', 'spam/b.eml']);
  });

  test('done twice does no harm', () => {
    const entry = message('spam');
    disposal(after).dispose(entry);
    expect(disposal(after).dispose(entry)).toEqual({ kind: 'gone' });
  });
});

describe('the archive', () => {
  test('keeps the message as it was, under its verdict and the day in UTC', () => {
    now = Date.UTC(2026, 11, 31, 23, 59, 59);
    disposal('archive').dispose(message('ham'));
    expect(readFileSync(spool.statePath('archive/ham/2026-12-31/a.eml'), 'utf8')).toBe('ham a.eml');
    now += 1_000;
    disposal('archive').dispose(message('ham', 'b.eml'));
    expect(spool.names('archive/ham')).toEqual(['2026-12-31', '2027-01-01']);
  });

  test('keeps its days to itself', () => {
    disposal('archive').dispose(message('spam'));
    const day = lstatSync(spool.statePath('archive/spam/2026-03-14'));
    expect(day.mode & 0o777).toBe(0o700);
  });

  test('loses the other verdict’s copy of the same day', () => {
    disposal('archive').dispose(message('spam'));
    disposal('archive').dispose(message('spam', 'b.eml'));
    disposal('archive').dispose(message('ham'));
    expect(spool.names('archive/ham/2026-03-14')).toEqual(['a.eml']);
    expect(spool.names('archive/spam/2026-03-14')).toEqual(['b.eml']);
  });

  test('keeps the other verdict’s copy of another day: of two the later counts', () => {
    disposal('archive').dispose(message('spam'));
    now += DAY_MS;
    disposal('archive').dispose(message('ham'));
    expect(spool.names('archive/spam/2026-03-14')).toEqual(['a.eml']);
    expect(spool.names('archive/ham/2026-03-15')).toEqual(['a.eml']);
  });

  test('loses the copies of later days: its clock was ahead', () => {
    now += 30 * DAY_MS;
    disposal('archive').dispose(message('spam'));
    disposal('archive').dispose(message('ham', 'b.eml'));
    now -= 30 * DAY_MS;
    disposal('archive').dispose(message('ham'));
    disposal('archive').dispose(message('ham', 'b.eml', 'again'));
    expect(spool.names('archive/spam/2026-04-13')).toEqual([]);
    expect(spool.names('archive/ham/2026-04-13')).toEqual([]);
    expect(spool.names('archive/ham/2026-03-14')).toEqual(['a.eml', 'b.eml']);
  });

  test('has one copy of a message that was learned twice that day, the later one', () => {
    disposal('archive').dispose(message('spam', 'a.eml', 'first'));
    disposal('archive').dispose(message('spam', 'a.eml', 'second'));
    expect(readFileSync(spool.statePath('archive/spam/2026-03-14/a.eml'), 'utf8')).toBe('second');
  });

  test('that cannot take it is a fault: the message stays in the queue', () => {
    put(spool.statePath('archive/spam/2026-03-14'), 'a file, of all things');
    const entry = message('spam');
    expect(() => disposal('archive').dispose(entry)).toThrow(/ENOTDIR/);
    expect(spool.queued).toEqual(['spam/a.eml']);
  });

  test('that has a folder in its place is a fault: the message stays in the queue', () => {
    mkdirSync(spool.statePath('archive/spam/2026-03-14/a.eml'), { recursive: true });
    chmodSync(spool.statePath('archive/spam/2026-03-14'), 0o700);
    const entry = message('spam');
    expect(() => disposal('archive').dispose(entry)).toThrow(/EISDIR|ENOTEMPTY|EEXIST/);
    expect(spool.queued).toEqual(['spam/a.eml']);
  });
});
