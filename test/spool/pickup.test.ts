import {
  appendFileSync,
  chmodSync,
  closeSync,
  fchmodSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { plainName } from '../../src/host.ts';
import { lockDescriptor } from '../../src/spool/owner.ts';
import type { LockResult } from '../../src/spool/owner.ts';
import { actOnce, isStep } from '../support/fs-steps.ts';
import { MARKED_MS, PickupBench, SETTLE_MS } from '../support/pickup-bench.ts';
import { MARK, TestSpool, inodeOf, put } from '../support/test-spool.ts';

const UNMARKED = 0o644;
const FOR_EVER_MS = 1_000_000_000;

let bench: PickupBench;
let spool: TestSpool;

beforeEach(() => {
  bench = new PickupBench();
  ({ spool } = bench);
});

describe('what is not complete stays where it is', () => {
  test('an empty file, until it is written to; after ten minutes it is said once', async () => {
    await bench.start();
    const path = spool.drop('spam', 'a.eml', '');
    await bench.pass(590_000);
    expect(bench.recorder.of('spool.stuck')).toEqual([]);
    await bench.pass(60_000);
    expect(spool.dropped('spam')).toEqual(['a.eml']);
    const line = bench.recorder.only('spool.stuck');
    expect(line.fields).toMatchObject({ verdict: 'spam', file: 'a.eml', reason: 'empty' });
    expect(line.fields).toMatchObject({ uid: process.getuid?.(), mode: '0660' });
    put(path, 'body');
    await bench.flowUntilQueued('spam/a.eml');
  });
});

describe('kopano-spamd’s way of writing', () => {
  test('nothing is taken before chown and chmod', async () => {
    await bench.start();
    const path = spool.dropPath('spam', 'a.eml');
    const fd = openSync(path, 'w', 0o600);
    for (const piece of ['From: a\n', 'To: b\n', '\nbody']) {
      await bench.clock.flow(SETTLE_MS - 100);
      writeSync(fd, piece);
      expect(bench.places).toEqual([]);
    }
    closeSync(fd);
    await bench.clock.flow(SETTLE_MS - 100);
    expect(bench.places).toEqual([]);
    chmodSync(path, MARK);
    const markedAt = bench.clock.monotonic();
    await bench.flowUntilQueued('spam/a.eml');
    expect(bench.queued).toEqual([{ place: 'spam/a.eml', settled: true }]);
    expect(spool.read('queue/spam/a.eml')).toBe('From: a\nTo: b\n\nbody');
    // polled every two seconds, then a tenth of the settle time
    expect(bench.clock.monotonic() - markedAt).toBeLessThan(2_000 + 2 * MARKED_MS);
  });

  test('a rewrite in place, which keeps the mark, is not taken half-way', async () => {
    await bench.start();
    const path = spool.drop('spam', 'a.eml', 'the first message');
    await bench.flowUntil('it is seen', () => bench.clock.timers > 0);
    await bench.clock.flow(100);
    const fd = openSync(path, 'w');
    await bench.clock.flow(100);
    writeSync(fd, 'the sec');
    // more than a tenth of the settle time between two writes
    await bench.clock.flow(SETTLE_MS - 300);
    expect(bench.places).toEqual([]);
    writeSync(fd, 'ond message');
    closeSync(fd);
    await bench.flowUntilQueued('spam/a.eml');
    expect(spool.read('queue/spam/a.eml')).toBe('the second message');
  });

  test('a file that vanishes is dropped without a word', async () => {
    await bench.start();
    const path = spool.drop('spam', 'a.eml');
    await bench.clock.flow(100);
    unlinkSync(path);
    await bench.pass(10 * SETTLE_MS);
    expect(bench.places).toEqual([]);
    expect(bench.recorder.lines).toEqual([]);
  });

  test('a writer that writes on after the rename is noticed: the entry is not settled', async () => {
    const fd = openSync(spool.dropPath('spam', 'a.eml'), 'w', MARK);
    writeSync(fd, 'the first half');
    fchmodSync(fd, MARK);
    actOnce(isStep('renameSync', '/a.eml'), () => writeSync(fd, ' and the second'));
    await bench.start();
    await bench.flowUntilQueued('spam/a.eml');
    closeSync(fd);
    expect(bench.queued).toEqual([{ place: 'spam/a.eml', settled: false }]);
    expect(spool.read('queue/spam/a.eml')).toBe('the first half and the second');
  });
});

describe('what lies there at the start', () => {
  test('is taken, both verdicts, byte for byte', async () => {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    spool.drop('spam', 'a.eml', bytes);
    spool.drop('ham', 'b.eml', 'good', UNMARKED);
    spool.drop('ham', 'c', 'without an ending');
    const inode = inodeOf(spool.dropPath('spam', 'a.eml'));
    await bench.start();
    await bench.flowUntilQueued('spam/a.eml', 'ham/b.eml', 'ham/c');
    expect(spool.queued).toEqual(['ham/b.eml', 'ham/c', 'spam/a.eml']);
    expect(spool.dropped('spam')).toEqual([]);
    expect(readFileSync(spool.statePath('queue/spam/a.eml')).equals(bytes)).toBe(true);
    expect(inodeOf(spool.statePath('queue/spam/a.eml'))).toBe(inode);
  });

  test('3,000 files are each taken exactly once', async () => {
    const names = Array.from({ length: 3_000 }, (_, index) => `${index}.eml`);
    const verdictOf = (name: string): 'spam' | 'ham' => (name.startsWith('1') ? 'ham' : 'spam');
    for (const name of names) spool.drop(verdictOf(name), name, name);
    await bench.start();
    await bench.flowUntil('all are taken', () => bench.queued.length >= names.length);
    await bench.pass(5_000);
    expect(bench.places).toEqual(names.map((name) => `${verdictOf(name)}/${name}`).sort());
    for (const name of names.filter((_, index) => index % 100 === 0)) {
      expect(spool.read(`queue/${verdictOf(name)}/${name}`)).toBe(name);
    }
  });
});

describe('the doorbell', () => {
  test('rings for what is renamed in, and for the mark', async () => {
    const bench = await PickupBench.start({ polling: false, sweepMs: FOR_EVER_MS });
    bench.spool.drop('spam', 'before.eml');
    await bench.flowUntilQueued('spam/before.eml');
    const outside = put(`${bench.spool.lib}/outside`, 'body');
    renameSync(outside, bench.spool.dropPath('spam', 'renamed.eml'));
    await bench.flowUntilQueued('spam/renamed.eml');
    const path = bench.spool.drop('spam', 'marked.eml', 'body', 0o600);
    await bench.clock.flow(100);
    chmodSync(path, MARK);
    await bench.flowUntilQueued('spam/marked.eml');
  });

  test('rings beside thousands of files that stay, too', async () => {
    const spool = new TestSpool();
    for (let i = 0; i < 5_001; i += 1) spool.drop('spam', `${i}.eml`, '');
    const bench = await PickupBench.start({ spool, polling: false, sweepMs: FOR_EVER_MS });
    spool.drop('spam', 'before.eml');
    await bench.flowUntilQueued('spam/before.eml');
    await bench.clock.flow(10_000);
    spool.drop('spam', 'a.eml');
    await bench.flowUntilQueued('spam/a.eml');
  });
});

describe('a sweep', () => {
  test('can be asked for, long before it is due', async () => {
    const bench = await PickupBench.start({ sweepMs: 2_000, polling: true });
    await bench.pass(100);
    bench.spool.drop('spam', 'a.eml');
    const start = bench.clock.monotonic();
    bench.pickup.sweepNow();
    await bench.flowUntilQueued('spam/a.eml');
    expect(bench.clock.monotonic() - start).toBeLessThan(MARKED_MS + 200);
  });
});

describe('a class folder', () => {
  test('that is missing is waited for, said once with the line that makes it', async () => {
    rmSync(spool.dropPath('spam'), { recursive: true });
    chmodSync(spool.dropPath('ham'), 0o2775);
    await bench.start();
    await bench.pass(50_000);
    const line = bench.recorder.only('spool.missing');
    const uid = process.getuid?.() ?? 0;
    const gid = process.getgid?.() ?? 0;
    const path = `${spool.lib}/spam`;
    expect(line.fields).toMatchObject({
      path,
      code: 'ENOENT',
      cure: `install -d -o ${plainName('uid', uid)} -g ${plainName('gid', gid)} -m 2775 ${path}`,
    });
    expect(line.message).toContain('install -d');
    mkdirSync(spool.dropPath('spam'));
    spool.drop('spam', 'a.eml');
    await bench.flowUntilQueued('spam/a.eml');
  });

  test('that is replaced is opened anew, and the old one is left alone', async () => {
    await bench.start();
    await bench.pass(1_000);
    const old = `${spool.lib}/old`;
    renameSync(`${spool.lib}/spam`, old);
    mkdirSync(spool.dropPath('spam'));
    spool.drop('spam', 'new.eml');
    await bench.flowUntilQueued('spam/new.eml');
    put(`${old}/late.eml`, 'body');
    await bench.pass(10_000);
    expect(bench.places).toEqual(['spam/new.eml']);
    expect(readFileSync(`${old}/late.eml`, 'utf8')).toBe('body');
  });

  test('that is replaced by a symlink is not followed', async () => {
    await bench.start();
    await bench.pass(1_000);
    const trap = `${spool.lib}/trap`;
    mkdirSync(trap);
    put(`${trap}/a.eml`, 'secret');
    rmSync(spool.dropPath('spam'), { recursive: true });
    symlinkSync(trap, `${spool.lib}/spam`);
    await bench.pass(20_000);
    expect(bench.places).toEqual([]);
    expect(readFileSync(`${trap}/a.eml`, 'utf8')).toBe('secret');
    expect(bench.recorder.fieldOf('spool.missing', 'code')).toEqual(['ENOTDIR']);
  });

  test('is locked by the kernel: two pickups never share one', async () => {
    const lock = (folder: { readonly fd: number }): ReturnType<typeof lockDescriptor> =>
      lockDescriptor(folder.fd);
    const first = await PickupBench.start({ lock });
    const second = new PickupBench({ spool: first.spool, lock });
    await second.pickup.openFolders();
    expect(second.lost).toHaveLength(1);
    expect(first.lost).toEqual([]);
    await first.stop();
    const third = new PickupBench({ spool: first.spool, lock });
    await third.pickup.openFolders();
    expect(third.lost).toEqual([]);
  });
});

describe('one pass', () => {
  test('says that files stay: empty ones, and those that are still being written', async () => {
    spool.drop('spam', 'empty.eml', '');
    const path = spool.drop('spam', 'growing.eml');
    spool.drop('spam', 'done.eml');
    await bench.pickup.openFolders();
    const stays = await bench.onePass(() => appendFileSync(path, 'x'));
    expect(stays).toBeGreaterThanOrEqual(2);
    expect(bench.places).toEqual(['spam/done.eml']);
  });

  test('does not count what is no message', async () => {
    spool.drop('spam', '.hidden');
    mkdirSync(spool.dropPath('spam', 'folder'));
    await bench.pickup.openFolders();
    expect(await bench.onePass()).toBe(0);
  });
});

describe('the heart', () => {
  test('beats while nothing comes, and while much does', async () => {
    await bench.start();
    let most = 0;
    const look = (): boolean => {
      most = Math.max(most, bench.pickup.overdueMs);
      return bench.clock.monotonic() > 60_000 && bench.queued.length === 500;
    };
    for (let i = 0; i < 500; i += 1) spool.drop('spam', `${i}.eml`);
    await bench.flowUntil('a minute passed', look);
    expect(most).toBeLessThan(1_000);
  });

  test('stands still while a turn waits for something that never comes', async () => {
    let hangs = false;
    const lock = (): Promise<LockResult> =>
      hangs ? new Promise(() => undefined) : Promise.resolve('locked');
    // Not to be waited for at the end: its turn is never over.
    const bench = new PickupBench({ lock });
    bench.stop = () => Promise.resolve();
    await bench.start();
    await bench.pass(5_000);
    expect(bench.pickup.overdueMs).toBeLessThan(1_000);
    hangs = true;
    renameSync(bench.spool.dropPath('spam'), `${bench.spool.lib}/old`);
    mkdirSync(bench.spool.dropPath('spam'));
    await bench.clock.flow(60_000, 100);
    expect(bench.pickup.overdueMs).toBeGreaterThan(50_000);
    bench.drop.close();
  });
});

describe('a stop', () => {
  test('leaves what is there and looks at nothing more', async () => {
    await bench.start();
    await bench.pass(100);
    await bench.pickup.stop();
    await bench.pickup.stop();
    spool.drop('spam', 'late.eml');
    bench.pickup.sweepNow();
    expect(bench.clock.timers).toBe(0);
    await bench.clock.flow(60_000, 1_000);
    expect(spool.dropped('spam')).toEqual(['late.eml']);
  });

  test('in the middle of a long sweep ends it', async () => {
    for (let i = 0; i < 2_000; i += 1) spool.drop('spam', `${i}.eml`);
    await bench.start();
    await bench.flowUntil('some are taken', () => bench.queued.length > 0);
    await bench.pickup.stop();
    const { length } = bench.queued;
    await bench.clock.flow(10_000, 1_000);
    expect(bench.queued).toHaveLength(length);
    expect(spool.names('queue/spam').length + spool.dropped('spam').length).toBe(2_000);
  });
});
