import { chown, mkdir, readFile, readdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, test, vi } from 'vitest';
import { ROOT } from '../support/needs.ts';
import { writerProgram } from '../support/run.ts';
import { NOBODY, temporaryFolder } from '../support/temporary.ts';
import { KopanoWriter, KopanoWriterProcess } from './kopano-writer.ts';

const name = 'AB12.eml';
const body = Buffer.from('Subject: hello\r\n\r\nThe whole message.\r\n');
const WRITTEN = { kind: 'written' };
let lib: string;

beforeEach(async () => {
  lib = temporaryFolder();
  for (const verdict of ['spam', 'ham']) await mkdir(join(lib, verdict));
});

/** Size and mode of the file in a class folder. */
async function seen(verdict: string): Promise<readonly number[]> {
  const { size, mode } = await stat(join(lib, verdict, name));
  return [size, mode & 0o7777];
}

test('a new file is partial and unmarked while it is written, then whole, then marked, and alone', async () => {
  const writer = new KopanoWriter({ lib });
  expect(await writer.write({ verdict: 'spam', name, body })).toEqual(WRITTEN);
  const slowly = { chunks: 2, pauseMs: 100, pauseBeforeMarkMs: 100 };
  const writing = writer.write({ verdict: 'ham', name, body, createMode: 0o600, ...slowly });
  for (const size of [body.length / 2, body.length]) {
    await vi.waitFor(async () => expect(await seen('ham')).toEqual([size, 0o600]));
  }
  expect(await writing).toEqual(WRITTEN);
  expect(await seen('ham')).toEqual([body.length, 0o660]);
  expect(await readFile(join(lib, 'ham', name))).toEqual(body);
  expect(await readdir(join(lib, 'spam'))).toEqual([]);
});

test('a rewrite truncates the file in place: the same inode, the mark kept', async () => {
  const writer = new KopanoWriter({ lib });
  await writer.write({ verdict: 'spam', name, body: Buffer.concat([body, body]) });
  const { ino } = await stat(join(lib, 'spam', name));
  const rewriting = writer.write({ verdict: 'spam', name, body, chunks: 2, pauseMs: 200 });
  await vi.waitFor(async () => expect(await seen('spam')).toEqual([body.length / 2, 0o660]));
  await rewriting;
  expect(await stat(join(lib, 'spam', name))).toMatchObject({ ino, size: body.length });
});

test('a file that is taken before chown is swallowed as kopano-spamd does', async () => {
  const writer = new KopanoWriter({ lib });
  const writing = writer.write({ verdict: 'spam', name, body, pauseBeforeMarkMs: 200 });
  await vi.waitFor(() => unlink(join(lib, 'spam', name)));
  expect(await writing).toEqual({ kind: 'vanished', step: 'chown' });
});

test(
  'as a process of another user it owns what it writes, and fails where it may not write',
  ROOT,
  async () => {
    const user = { uid: NOBODY, gid: NOBODY };
    await chown(join(lib, 'spam'), NOBODY, NOBODY);
    const writer = new KopanoWriterProcess(writerProgram(), lib, user);
    const outcomes = await Promise.all([
      writer.write({ verdict: 'ham', name, body }),
      writer.write({ verdict: 'spam', name, body }),
    ]);
    expect(outcomes).toMatchObject([{ kind: 'failed', code: 'EACCES' }, WRITTEN]);
    expect(await stat(join(lib, 'spam', name))).toMatchObject(user);
  },
);
