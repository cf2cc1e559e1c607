import {
  appendFileSync,
  closeSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { DoneLog } from '../../src/daemon/done-log.ts';
import type { QueueEntry } from '../../src/spool/message.ts';
import { Folder } from '../../src/spool/folder.ts';
import { failSteps, resolved } from '../support/fs-steps.ts';
import { MOUNTS } from '../support/needs.ts';
import { openFilesBelow } from '../support/open-files.ts';
import { mountTmpfs, temporaryFolder } from '../support/temporary.ts';
import { TestSpool } from '../support/test-spool.ts';

let spool: TestSpool;
let file: string;

beforeEach(() => {
  spool = new TestSpool();
  file = spool.statePath('done-rspamd');
});

function open(): DoneLog {
  const log = new DoneLog(spool.stateDir.root, 'rspamd');
  onTestFinished(() => log.close());
  return log;
}

function entry(key: string, ino = 1n, verdict: 'spam' | 'ham' = 'spam'): QueueEntry {
  return { verdict, key, bytes: 3, stamp: { dev: 1n, ino, size: 3n, mtimeNs: 5n } };
}

test('what was noted is known to the next process, for that very file', () => {
  const log = open();
  log.set(entry('a'), { kind: 'learned' });
  log.set(entry('b'), { kind: 'refused' });
  log.set(entry('c'), { kind: 'posted', posts: 7 });
  log.set(entry('d'), { kind: 'duplicate' });
  log.forget('d');
  for (const each of [log, open()]) {
    expect(each.of(entry('a'))).toEqual({ kind: 'learned' });
    expect(each.of(entry('b'))).toEqual({ kind: 'refused' });
    expect(each.of(entry('c'))).toEqual({ kind: 'posted', posts: 7 });
    expect(each.of(entry('d'))).toBeUndefined();
    expect(each.of(entry('a', 2n))).toBeUndefined();
    expect(each.of(entry('a', 1n, 'ham'))).toBeUndefined();
    expect(['a', 'b', 'c', 'd'].map((key) => each.hasDone(key))).toEqual([
      true,
      true,
      false,
      false,
    ]);
  }
});

test('the last thing that was noted of a message counts', () => {
  const log = open();
  log.set(entry('a'), { kind: 'posted', posts: 3 });
  log.set(entry('a'), { kind: 'learned' });
  log.set(entry('b'), { kind: 'learned' });
  log.set(entry('b', 2n), { kind: 'posted', posts: 1 });
  for (const each of [log, open()]) {
    expect(each.of(entry('a'))).toEqual({ kind: 'learned' });
    expect(each.of(entry('b'))).toBeUndefined();
    expect(each.of(entry('b', 2n))).toEqual({ kind: 'posted', posts: 1 });
  }
});

test('a line that a crash tore is cut off, and one that is damaged says nothing', () => {
  const log = open();
  for (const key of ['a', 'b', 'c']) log.set(entry(key), { kind: 'learned' });
  const bytes = statSync(file).size;
  truncateSync(file, bytes - 5);
  const torn = open();
  expect(torn.of(entry('b'))).toEqual({ kind: 'learned' });
  expect(torn.of(entry('c'))).toBeUndefined();
  torn.set(entry('d'), { kind: 'learned' });
  expect(open().of(entry('d'))).toEqual({ kind: 'learned' });
  appendFileSync(file, 'x'.repeat(bytes / 3));
  const damaged = open();
  expect(damaged.of(entry('d'))).toEqual({ kind: 'learned' });
  damaged.set(entry('e'), { kind: 'learned' });
  expect(open().of(entry('e'))).toEqual({ kind: 'learned' });
});

test('the file does not grow with what is forgotten', () => {
  const log = open();
  log.set(entry('stays'), { kind: 'learned' });
  for (let index = 0; index < 120_000; index += 1) {
    log.set(entry(`m${index}`), { kind: 'learned' });
    log.forget(`m${index}`);
  }
  expect(statSync(file).size).toBeLessThan(5_000_000);
  expect(open().of(entry('stays'))).toEqual({ kind: 'learned' });
  expect(readFileSync(file, 'latin1').endsWith('\n')).toBe(true);
});

test('a full disk takes a record as a whole or not at all: those after it count', MOUNTS, () => {
  const disk = `${temporaryFolder()}/disk`;
  mountTmpfs(disk, 'size=8k');
  writeFileSync(`${disk}/ballast`, Buffer.alloc(4_096));
  const root = Folder.open(disk);
  const log = new DoneLog(root, 'rspamd');
  // The last record that begins in the one block of 4,096 bytes ends in the next one.
  const fill = (): void => {
    for (let index = 0; index < 200; index += 1) log.set(entry(`m${index}`), { kind: 'learned' });
  };
  expect(fill).toThrow('ENOSPC');
  rmSync(`${disk}/ballast`);
  log.set(entry('later'), { kind: 'learned' });
  log.close();
  const next = new DoneLog(root, 'rspamd');
  expect(next.of(entry('m112'))).toEqual({ kind: 'learned' });
  expect(next.of(entry('later'))).toEqual({ kind: 'learned' });
  next.close();
  root.close();
});

test('what is noted after the end goes into no other file', () => {
  const log = new DoneLog(spool.stateDir.root, 'rspamd');
  log.set(entry('a'), { kind: 'learned' });
  log.close();
  // It gets the number of the descriptor that was closed.
  const other = openSync(`${spool.lib}/other`, 'w');
  log.forget('a');
  log.set(entry('b'), { kind: 'learned' });
  closeSync(other);
  expect(readFileSync(`${spool.lib}/other`, 'latin1')).toBe('');
  log.close();
});

test('a log that cannot be read is not held open', () => {
  failSteps((step) => (step.call === 'readSync' && resolved(step) === file ? 'EIO' : undefined));
  expect(() => new DoneLog(spool.stateDir.root, 'rspamd')).toThrow('EIO');
  expect(openFilesBelow(file)).toEqual([]);
});
