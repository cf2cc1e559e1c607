import { expect, onTestFinished, test } from 'vitest';
import { DoneLog } from '../../src/daemon/done-log.ts';
import { JointStore } from '../../src/daemon/joint-store.ts';
import type { QueueEntry } from '../../src/spool/message.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { TestSpool } from '../support/test-spool.ts';

const BACKLOG = 5;

/** The store of a filter; its queue is listed in a millisecond an entry. */
class Bench {
  readonly clock = new ManualClock();
  readonly entries: QueueEntry[] = [];
  /** Entries that scans have come upon. */
  looks = 0;
  readonly log: DoneLog;
  readonly joint: JointStore;

  constructor() {
    const spool = new TestSpool();
    this.log = new DoneLog(spool.stateDir.root, 'rspamd');
    onTestFinished(() => this.log.close());
    const unused = (): never => {
      throw new Error('not used here');
    };
    const store = {
      placeOf: () => 'the queue',
      verdicts: ['spam', 'ham'],
      scan: () => this.#list(),
      read: unused,
      postsOf: unused,
      recordPosts: unused,
      dispose: unused,
    };
    const { clock, log } = this;
    const all = () => [this.joint];
    const { queue } = spool;
    this.joint = new JointStore({ store, queue, clock, all, log, backlog: BACKLOG });
  }

  *#list() {
    for (const entry of [...this.entries]) {
      this.clock.advance(1);
      this.looks += 1;
      yield { entry, marked: true };
    }
  }

  /** A message lies in the queue, and nobody was told. */
  add(key: string): QueueEntry {
    const ino = BigInt(this.entries.length);
    const stamp = { dev: 1n, ino, size: 3n, mtimeNs: 5n };
    const entry: QueueEntry = { verdict: 'spam', key, bytes: 3, stamp };
    this.entries.push(entry);
    return entry;
  }

  addDone(count: number): void {
    for (let index = 0; index < count; index += 1) {
      this.log.set(this.add(`done${index}`), { kind: 'learned' });
    }
  }

  /** Scans once. @returns the keys, `-` for what this filter doesn't need */
  scan(): string {
    return [...this.joint.scan()].map((found) => found?.entry.key ?? '-').join('');
  }

  /** What a scan lists. */
  looksOfScan(): number {
    const before = this.looks;
    this.scan();
    return this.looks - before;
  }
}

test('a scan gives others their turn at each message that this filter has done with', () => {
  const bench = new Bench();
  bench.addDone(3);
  bench.add('a');
  expect(bench.scan()).toBe('---a');
});

test('while nothing but another filter needs the queue it is rarely listed, whatever comes', () => {
  const bench = new Bench();
  bench.addDone(20);
  expect(bench.looksOfScan()).toBe(20);
  for (let index = 0; index < 40; index += 1) {
    const entry = bench.add(`a${index}`);
    bench.joint.enqueued(entry);
    expect(bench.looksOfScan()).toBe(0);
    bench.log.set(entry, { kind: 'learned' });
    bench.joint.forget(entry.key);
    bench.entries.pop();
    bench.clock.advance(10);
  }
  bench.clock.advance(2_000);
  expect(bench.looksOfScan()).toBe(20);
});

test('what the delivery was given already does not let it be listed more often', () => {
  const bench = new Bench();
  bench.addDone(10);
  const entry = bench.add('a');
  bench.joint.enqueued(entry);
  expect(bench.scan()).toBe('----------a');
  expect(bench.looksOfScan()).toBe(0);
  // A scan that found something new is followed by another one.
  bench.clock.advance(2_000);
  bench.add('b');
  expect(bench.scan()).toBe('----------ab');
  expect(bench.looksOfScan()).toBe(12);
  expect(bench.looksOfScan()).toBe(0);
});

test('more messages than the delivery has room for are looked for at once', () => {
  const bench = new Bench();
  bench.addDone(10);
  bench.scan();
  for (let index = 0; index < BACKLOG; index += 1) bench.joint.enqueued(bench.add(`a${index}`));
  expect(bench.looksOfScan()).toBe(0);
  bench.joint.enqueued(bench.add('b'));
  expect(bench.scan()).toContain('b');
  expect(bench.looksOfScan()).toBe(16);
});

test('a scan that was long in coming to its end, for want of room, is no reason for a long rest', () => {
  const bench = new Bench();
  bench.addDone(20);
  const scan = bench.joint.scan();
  scan.next();
  // Its delivery had enough for an hour.
  bench.clock.advance(3_600_000);
  while (scan.next().done !== true);
  bench.add('a');
  bench.clock.advance(2_000);
  expect(bench.scan()).toContain('a');
});

test('what a scan that goes on has missed is looked for at once', () => {
  const bench = new Bench();
  bench.addDone(10);
  const scan = bench.joint.scan();
  scan.next();
  for (let index = 0; index <= BACKLOG; index += 1) bench.joint.enqueued(bench.add(`a${index}`));
  while (scan.next().done !== true);
  expect(bench.scan()).toContain(`a${BACKLOG}`);
});
