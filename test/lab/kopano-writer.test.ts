import { chown, mkdir, readdir, readFile, rm, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, test, vi } from 'vitest';
import { KopanoWriterProcess } from './kopano-writer-process.ts';
import { KopanoWriter } from './kopano-writer.ts';
import { ROOT } from '../support/needs.ts';
import { writerProgram } from '../support/run.ts';
import { temporaryFolder } from '../support/temporary.ts';

const name = 'AB12.eml';
const body = Buffer.from('Subject: hello\r\n\r\nThe whole message.\r\n');
let lib: string;

beforeEach(async () => {
  lib = temporaryFolder();
  for (const verdict of ['spam', 'ham']) await mkdir(join(lib, verdict));
});

test('a written message is whole, bears the finishing mark, and is alone', async () => {
  const writer = new KopanoWriter({ lib });
  expect(await writer.write({ verdict: 'spam', name, body })).toEqual({
    kind: 'written',
  });
  expect(await readFile(join(lib, 'spam', name))).toEqual(body);
  expect((await stat(join(lib, 'spam', name))).mode & 0o7777).toBe(0o660);
  await writer.write({ verdict: 'ham', name, body });
  expect(await readdir(join(lib, 'spam'))).toEqual([]);
  expect(await readdir(join(lib, 'ham'))).toEqual([name]);
});

test('a rewrite truncates the file in place: the same inode, the mark kept', async () => {
  const writer = new KopanoWriter({ lib });
  await writer.write({
    verdict: 'spam',
    name,
    body: Buffer.concat([body, body]),
  });
  const before = await stat(join(lib, 'spam', name));
  const rewriting = writer.write({
    verdict: 'spam',
    name,
    body,
    chunks: 2,
    pauseMs: 200,
  });
  await vi.waitFor(async () => {
    const half = await stat(join(lib, 'spam', name));
    expect(half).toMatchObject({
      ino: before.ino,
      mode: before.mode,
      size: body.length / 2,
    });
  });
  await rewriting;
  expect(await readFile(join(lib, 'spam', name))).toEqual(body);
});

test('a new file is partial and unmarked while it is written, whole and unmarked before chown', async () => {
  const writer = new KopanoWriter({ lib });
  const order = { verdict: 'ham', name, body, createMode: 0o600 } as const;
  const writing = writer.write({
    ...order,
    chunks: 2,
    pauseMs: 100,
    pauseBeforeMarkMs: 100,
  });
  const seen = async (): Promise<readonly number[]> => {
    const { size, mode } = await stat(join(lib, 'ham', name));
    return [size, mode & 0o777];
  };
  await vi.waitFor(async () => {
    expect(await seen()).toEqual([body.length / 2, 0o600]);
  });
  await vi.waitFor(async () => {
    expect(await seen()).toEqual([body.length, 0o600]);
  });
  expect(await writing).toEqual({ kind: 'written' });
});

test('a file that is taken before chown is swallowed as kopano-spamd does', async () => {
  const writer = new KopanoWriter({ lib });
  const writing = writer.write({
    verdict: 'spam',
    name,
    body,
    pauseBeforeMarkMs: 200,
  });
  await vi.waitFor(() => unlink(join(lib, 'spam', name)));
  expect(await writing).toEqual({ kind: 'vanished', step: 'chown' });
});

test('a missing class folder is a failure, not an exception, and is not made', async () => {
  await rm(join(lib, 'ham'), { recursive: true });
  const writer = new KopanoWriter({ lib });
  const outcome = await writer.write({ verdict: 'ham', name, body });
  expect(outcome).toMatchObject({ kind: 'failed', code: 'ENOENT' });
  expect(await readdir(lib)).toEqual(['spam']);
});

test('as a process it answers one outcome an order, in order, and ends with its input', async () => {
  const script = writerProgram();
  const writer = new KopanoWriterProcess({ script, lib });
  try {
    const outcomes = await Promise.all([
      writer.write({ verdict: 'spam', name, body, pauseBeforeMarkMs: 50 }),
      writer.write({ verdict: 'spam', name: 'missing/folder.eml', body }),
      writer.write({ verdict: 'ham', name, body }),
    ]);
    expect(outcomes.map(({ kind }) => kind)).toEqual(['written', 'failed', 'written']);
    expect(await readFile(join(lib, 'ham', name))).toEqual(body);
    expect(await readdir(join(lib, 'spam'))).toEqual([]);
  } finally {
    await writer[Symbol.asyncDispose]();
  }
  const late = await writer.write({ verdict: 'ham', name, body });
  expect(late).toMatchObject({ kind: 'failed', code: 'EXIT' });
});

test(
  'as a process of another user it owns what it writes, and fails where it may not write',
  ROOT,
  async () => {
    const nobody = 65_534;
    await chown(join(lib, 'spam'), nobody, nobody);
    const script = writerProgram();
    const writer = new KopanoWriterProcess({
      script,
      lib,
      uid: nobody,
      gid: nobody,
    });
    try {
      const written = await writer.write({ verdict: 'spam', name, body });
      expect(written).toMatchObject({ kind: 'written' });
      const denied = await writer.write({
        verdict: 'ham',
        name: 'CD34.eml',
        body,
      });
      expect(denied).toMatchObject({ kind: 'failed', code: 'EACCES' });
    } finally {
      await writer[Symbol.asyncDispose]();
    }
    expect(await stat(join(lib, 'spam', name))).toMatchObject({
      uid: nobody,
      gid: nobody,
    });
  },
);
