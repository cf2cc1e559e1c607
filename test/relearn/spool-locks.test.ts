import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, openSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { OperatorError } from '../../src/errors.ts';
import { lockSpools } from '../../src/relearn/spool-locks.ts';
import { LOCK_FILE } from '../../src/spool/owner.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { VERDICTS } from '../../src/verdict.ts';

let root: string;
let libDir: string;
let stateDir: string;

/** A spool with a state dir, as a daemon leaves it. */
function makeSpool(lib: string, state: string): void {
  const folders = [
    `${lib}/spam`,
    `${lib}/ham`,
    `${state}/queue`,
    `${state}/archive/spam/2026-11-01`,
  ];
  for (const folder of folders) mkdirSync(folder, { recursive: true });
  writeFileSync(join(state, LOCK_FILE), '');
}

beforeEach(() => {
  root = temporaryFolder();
  libDir = join(root, 'lib');
  stateDir = join(libDir, '.learnd');
  makeSpool(libDir, stateDir);
});

/** Locks a file or folder in another process. */
async function lockElsewhere(path: string): Promise<void> {
  const fd = openSync(path, 'r');
  const child = spawn('sh', ['-c', 'flock -n 3 && echo held && exec sleep 100'], {
    stdio: ['ignore', 'pipe', 'ignore', fd],
  });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  await once(child.stdout ?? child, 'data');
}

async function lock(...sources: readonly string[]): Promise<'locked' | OperatorError> {
  try {
    (await lockSpools(sources, { libDir, stateDir, verdicts: VERDICTS }))();
    return 'locked';
  } catch (error) {
    if (error instanceof OperatorError) return error;
    throw error;
  }
}

describe('while a daemon owns the state dir', () => {
  beforeEach(async () => {
    await lockElsewhere(join(stateDir, LOCK_FILE));
  });

  test.each([
    ['the archive', 'lib/.learnd/archive'],
    ['a day of it', 'lib/.learnd/archive/spam/2026-11-01'],
    ['the state dir', 'lib/.learnd'],
    ['a class folder', 'lib/spam'],
    ['the spool', 'lib'],
    ['a folder around the spool', ''],
    ['a link to the archive', 'link'],
  ])('%s is not read', async (_what, source) => {
    symlinkSync(join(stateDir, 'archive'), join(root, 'link'));
    const error = await lock(join(root, source));
    expect(error).toMatchObject({ code: 'relearn.owned', exitCode: 75 });
    expect(error).toHaveProperty('hint', expect.stringMatching(/^stop it first; messages wait/));
  });

  test('anything else is', async () => {
    const other = join(root, 'other');
    mkdirSync(other);
    expect(await lock(other)).toBe('locked');
    expect(await lock(join(root, 'missing'))).toBe('locked');
  });
});

test('a state dir that this environment knows nothing of is found by its lock', async () => {
  const other = join(root, 'elsewhere');
  makeSpool(join(root, 'lib2'), other);
  await lockElsewhere(join(other, LOCK_FILE));
  expect(await lock(join(other, 'archive'))).toMatchObject({ code: 'relearn.owned' });
  const spool = join(root, 'lib3');
  makeSpool(spool, join(spool, '.learnd'));
  await lockElsewhere(join(spool, '.learnd', LOCK_FILE));
  expect(await lock(join(spool, 'ham'))).toMatchObject({ code: 'relearn.owned' });
});

test('a daemon with another state dir is found by the class folders', async () => {
  await lockElsewhere(join(libDir, 'ham'));
  expect(await lock(join(libDir, 'spam'))).toMatchObject({ code: 'relearn.owned' });
});

test('the locks are held until they are released', async () => {
  const release = await lockSpools([join(stateDir, 'archive')], {
    libDir,
    stateDir,
    verdicts: VERDICTS,
  });
  expect(await lock(join(stateDir, 'archive'))).toMatchObject({
    code: 'relearn.owned',
    message: expect.stringMatching(/^a daemon, or another relearn, is at work on /) as string,
  });
  release();
  expect(await lock(join(stateDir, 'archive'))).toBe('locked');
});

test('where no daemon ever was, no lock file is made', async () => {
  rmSync(join(stateDir, LOCK_FILE));
  expect(await lock(stateDir, join(libDir, 'spam'))).toBe('locked');
  expect(existsSync(join(stateDir, LOCK_FILE))).toBe(false);
});
