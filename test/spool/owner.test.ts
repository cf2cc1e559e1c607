import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { readFileSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { Folder } from '../../src/spool/folder.ts';
import { acquireOwnership } from '../../src/spool/owner.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { put } from '../support/test-spool.ts';
import { until } from '../support/until.ts';

let path: string;
let folder: Folder;

beforeEach(() => {
  path = temporaryFolder();
  folder = Folder.open(path);
  onTestFinished(() => {
    folder.close();
  });
});

/** Another process that holds the lock of a file until it dies. */
async function holder(file: string): Promise<ChildProcess> {
  const script = 'exec 3>>"$1" && flock -n 3 && : > "$1.locked" && exec sleep 1000';
  const child = spawn('sh', ['-c', script, 'sh', file], { stdio: 'ignore' });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  await until('the other process has the lock', () =>
    readdirSync(path).some((name) => name.endsWith('.locked')),
  );
  return child;
}

function killed(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once('exit', () => {
      resolve();
    });
    child.kill('SIGKILL');
  });
}

/** Puts a script in the place of the program `flock`; without one there is no such program. */
function replaceFlock(script?: string): void {
  const { PATH } = process.env;
  if (script !== undefined) put(`${path}/flock`, `#!/bin/sh\n${script}\n`, 0o755);
  process.env['PATH'] = script === undefined ? path : `${path}:${PATH ?? ''}`;
  onTestFinished(() => {
    process.env['PATH'] = PATH;
  });
}

describe('ownership of a state dir', () => {
  test('is refused while another process has it, and leaves no descriptor open', async () => {
    await holder(put(`${path}/owner.lock`, ''));
    const before = readdirSync('/proc/self/fd').length;
    expect(await acquireOwnership(folder)).toBeUndefined();
    expect(readdirSync('/proc/self/fd')).toHaveLength(before);
  });

  test('is refused while its owner is stopped', async () => {
    const child = await holder(put(`${path}/owner.lock`, ''));
    child.kill('SIGSTOP');
    await until('it is stopped', () =>
      /\) T /.test(readFileSync(`/proc/${child.pid ?? 0}/stat`, 'latin1')),
    );
    expect(await acquireOwnership(folder)).toBeUndefined();
  });

  test('is free as soon as its owner was killed', async () => {
    await killed(await holder(put(`${path}/owner.lock`, '')));
    expect(await acquireOwnership(folder)).toBeDefined();
  });

  test('does not follow a symlink in the place of its lock file', async () => {
    symlinkSync(`${path}/elsewhere`, `${path}/owner.lock`);
    await expect(acquireOwnership(folder)).rejects.toThrow(/ELOOP/);
    expect(readdirSync(path)).toEqual(['owner.lock']);
  });

  test('without a flock program names what to install', async () => {
    replaceFlock();
    await expect(acquireOwnership(folder)).rejects.toMatchObject({
      code: 'owner.no-flock',
      exitCode: 78,
      command: expect.stringContaining('util-linux') as string,
    });
  });

  test('on a file system without locks is refused with the setting that helps', async () => {
    replaceFlock('echo "flock: 3: Bad file descriptor" >&2; exit 1');
    await expect(acquireOwnership(folder)).rejects.toMatchObject({
      code: 'owner.unsupported',
      exitCode: 78,
      hint: expect.stringContaining('LEARN_STATE_DIR') as string,
    });
  });
});

describe('the program flock', () => {
  test.each([
    ['is killed', 'kill -s KILL $$'],
    ['cannot be loaded', 'exit 127'],
  ])('that %s says nothing about locks: it is tried again', async (_what, script) => {
    replaceFlock(script);
    const before = readdirSync('/proc/self/fd').length;
    await expect(acquireOwnership(folder)).rejects.toThrow(/^flock ended with (SIGKILL|127)$/);
    expect(readdirSync('/proc/self/fd')).toHaveLength(before);
    rmSync(`${path}/flock`);
    const ownership = await acquireOwnership(folder);
    expect(ownership).toBeDefined();
    ownership?.release();
  });
});
