import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { FUSE, ROOT, needs } from '../support/needs.ts';
import { examine, root } from '../support/examine.ts';
import { mountFuse } from '../support/fuse.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { put } from '../support/test-spool.ts';

function makeLib(): string {
  const lib = temporaryFolder();
  mkdirSync(`${lib}/spam`);
  mkdirSync(`${lib}/ham`);
  return lib;
}

test('a volume of this machine is watched, unless that is switched off', async () => {
  const lib = makeLib();
  const seen = await examine({ KOPANO_SPAMD_LIB: lib });
  expect(seen.of('volume')).toMatchObject([{ state: 'ok' }]);
  expect(seen.of('inotify')).toMatchObject([{ state: 'ok', text: 'the folders can be watched' }]);
  const swept = await examine({ KOPANO_SPAMD_LIB: lib, LEARN_POLLING: 'yes' });
  expect(swept.of('volume')).toEqual([]);
  expect(swept.of('inotify')).toMatchObject([{ state: 'ok' }]);
});

test('a volume that is mounted by FUSE is told to be swept', FUSE, async () => {
  const lib = temporaryFolder();
  await mountFuse(lib);
  const settings = { KOPANO_SPAMD_LIB: lib, LEARN_STATE_DIR: `${temporaryFolder()}/state` };
  // In another process: this one serves the volume.
  const seen = await examine(settings, root);
  expect(seen.of('spam/')).toMatchObject([{ state: 'ok' }]);
  expect(seen.of('volume')).toEqual([
    {
      state: 'warning',
      check: 'volume',
      text: `${lib} is on FUSE, which doesn't tell of files that another machine or container writes. Cure: set LEARN_POLLING=yes`,
    },
  ]);
});

const instances = Number(readFileSync('/proc/sys/fs/inotify/max_user_instances', 'utf8'));
/** One instance a process; so many that another user has none left. */
const few = { ...ROOT, ...needs('at most 256 inotify instances a user', instances <= 256) };

test('inotify instances that are used up are found', few, async () => {
  const lib = makeLib();
  chmodSync(lib, 0o777);
  const file = put(`${temporaryFolder()}/file`, 'x', 0o644);
  const [uid, gid] = [23_461, 23_461];
  // `tail -f` holds one; it has it when it has read the file.
  const tails = Array.from({ length: instances }, () => {
    const tail = spawn('tail', ['-f', file], { uid, gid, stdio: ['ignore', 'pipe', 'ignore'] });
    onTestFinished(() => {
      tail.kill('SIGKILL');
    });
    return tail;
  });
  await Promise.all(tails.map((tail) => once(tail.stdout, 'data')));
  const settings = { KOPANO_SPAMD_LIB: lib, LEARN_STATE_DIR: `${lib}/state` };
  const [line] = (await examine(settings, { uid, gid, groups: [gid] })).of('inotify');
  expect(line?.state).toBe('warning');
  expect(line?.text).toMatch(
    /nothing can be watched any more \(EMFILE\).*Cure: .*max_user_instances=\d+/,
  );
});
