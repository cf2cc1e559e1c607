import { statSync, unlinkSync } from 'node:fs';
import { chown, mkdir, readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { actOnce, failSteps, isStep } from '../support/fs-steps.ts';
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

/** Size and mode of a file. */
function seen(path: string): readonly number[] {
  const { size, mode } = statSync(path);
  return [size, mode & 0o7777];
}

/** How the file is seen after each piece of it. */
function watchPieces(): (readonly number[])[] {
  const all: (readonly number[])[] = [];
  const isPiece = isStep('FileHandle.writeFile', name, 'after');
  failSteps((step) => {
    if (isPiece(step)) all.push(seen(step.path));
    return undefined;
  });
  return all;
}

test('a new file is partial and unmarked while it is written, then whole, then marked, and alone', async () => {
  const writer = new KopanoWriter({ lib });
  expect(await writer.write({ verdict: 'spam', name, body })).toEqual(WRITTEN);
  const pieces = watchPieces();
  const order = { verdict: 'ham', name, body, createMode: 0o600, chunks: 2 } as const;
  expect(await writer.write(order)).toEqual(WRITTEN);
  expect(pieces).toEqual([body.length / 2, body.length].map((size) => [size, 0o600]));
  expect(seen(join(lib, 'ham', name))).toEqual([body.length, 0o660]);
  expect(await readFile(join(lib, 'ham', name))).toEqual(body);
  expect(await readdir(join(lib, 'spam'))).toEqual([]);
});

test('a rewrite truncates the file in place: the same inode, the mark kept', async () => {
  const writer = new KopanoWriter({ lib });
  await writer.write({ verdict: 'spam', name, body: Buffer.concat([body, body]) });
  const { ino } = await stat(join(lib, 'spam', name));
  const pieces = watchPieces();
  await writer.write({ verdict: 'spam', name, body, chunks: 2 });
  expect(pieces).toEqual([body.length / 2, body.length].map((size) => [size, 0o660]));
  expect(await stat(join(lib, 'spam', name))).toMatchObject({ ino, size: body.length });
});

test('a file that is taken before chown is swallowed as kopano-spamd does', async () => {
  const writer = new KopanoWriter({ lib });
  actOnce(isStep('FileHandle.close', name, 'after'), () => unlinkSync(join(lib, 'spam', name)));
  const outcome = await writer.write({ verdict: 'spam', name, body });
  expect(outcome).toEqual({ kind: 'vanished', step: 'chown' });
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
