import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readFileSync } from 'node:fs';
import { describe, expect, onTestFinished, test } from 'vitest';
import { checkWatching, fileSystemType, judgeLimits } from '../../src/doctor/watching.ts';
import { FUSE, ROOT, needs } from '../support/needs.ts';
import { examine, root } from '../support/examine.ts';
import { mountFuse } from '../support/fuse.ts';
import { bindMount, canMount, temporaryFolder } from '../support/temporary.ts';
import { put } from '../support/test-spool.ts';

function makeLib(): string {
  const lib = temporaryFolder();
  mkdirSync(`${lib}/spam`);
  mkdirSync(`${lib}/ham`);
  return lib;
}

/** A line of mountinfo as the kernel writes it. */
function mountLine(place: string, type: string): string {
  return `36 25 0:31 / ${place.replaceAll(' ', '\\040')} rw,relatime shared:1 - ${type} source rw\n`;
}

const ROOT_MOUNT = mountLine('/', 'ext4');

describe('a volume', () => {
  test('is found by the longest mount point above it, the last of several', () => {
    const mounts = [
      ROOT_MOUNT,
      mountLine('/srv', 'xfs'),
      mountLine('/srv/mail box', 'cifs'),
      mountLine('/srv/mail box', 'nfs4'),
      mountLine('/srv/mail', 'fuse.sshfs'),
    ].join('');
    expect(fileSystemType(mounts, '/srv/mail box/spam')).toBe('nfs4');
    expect(fileSystemType(mounts, '/srv/mailbox')).toBe('xfs');
    expect(fileSystemType(mounts, '/srv/mail/spam')).toBe('fuse.sshfs');
    expect(fileSystemType(mounts, '/home')).toBe('ext4');
  });

  test.each([
    'nfs',
    'nfs4',
    'cifs',
    'smb3',
    'fuse',
    'fuse.sshfs',
    'fuse.glusterfs',
    '9p',
    'virtiofs',
  ])('on %s is told to be swept', (type) => {
    const libDir = makeLib();
    const mounts = ROOT_MOUNT + mountLine(libDir, type);
    const [volume] = checkWatching({ libDir, polling: false, uid: 0, mounts });
    expect(volume).toMatchObject({
      state: 'warning',
      check: 'volume',
      cure: 'set LEARN_POLLING=yes',
    });
    expect(volume?.says).toContain(type);
    const swept = checkWatching({ libDir, polling: true, uid: 0, mounts });
    expect(swept).toMatchObject([{ state: 'ok' }]);
  });

  test('that is mounted by FUSE is told to be swept', FUSE, async () => {
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
        text: `${lib} is on fuse, which doesn't tell of files that another machine or container writes. Cure: set LEARN_POLLING=yes`,
      },
    ]);
    const cured = await examine({ ...settings, LEARN_POLLING: 'yes' }, root);
    expect(cured.of('volume')).toEqual([]);
    expect(cured.of('inotify')).toMatchObject([{ state: 'ok' }]);
  });

  test('of this machine has a type that is known', () => {
    const libDir = makeLib();
    if (canMount) bindMount(libDir, libDir); // the root of a chroot may be no mount
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8');
    const [volume] = checkWatching({ libDir, polling: false, uid: 0, mounts });
    expect(volume?.state).toBe('ok');
  });
});

describe('inotify', () => {
  const limits = { instances: 128, watches: 1_000 };

  test.each([
    [{ instances: 116, watches: 0 }, 'warning'],
    [{ instances: 0, watches: 900 }, 'warning'],
    [{ instances: 115, watches: 899 }, 'ok'],
  ])('with %j used is: %s', (used, state) => {
    expect(judgeLimits({ uid: 1, limits, used, refusal: undefined }).state).toBe(state);
  });

  /** One instance a process; so many that another user has nearly, or really, none left. */
  const few = { ...ROOT, ...needs('at most 256 inotify instances a user', instances() <= 256) };
  test('instances that are used up are found', few, async () => {
    const lib = makeLib();
    chmodSync(lib, 0o777);
    const file = put(`${temporaryFolder()}/file`, 'x', 0o644);
    const account = { uid: 23_461, gid: 23_461, groups: [23_461] };
    const settings = { KOPANO_SPAMD_LIB: lib, LEARN_STATE_DIR: `${lib}/state` };
    const near = instances() - 6;
    await hold(near, file, account.uid);
    const [first] = (await examine(settings, account)).of('inotify');
    expect(first?.state).toBe('warning');
    expect(first?.text).toMatch(
      /the limit is near: uid 23461 uses \d+ of \d+ inst.*Cure: raise it/,
    );
    await hold(6, file, account.uid);
    // A process of its own: the first one has its instance already.
    const another = { ...account, groups: [account.gid, account.gid + 1] };
    const [second] = (await examine(settings, another)).of('inotify');
    expect(second?.text).toMatch(
      /nothing can be watched any more \(EMFILE\).*Cure: .*max_user_instances/,
    );
  });
});

function instances(): number {
  return Number(readFileSync('/proc/sys/fs/inotify/max_user_instances', 'utf8'));
}

/** `tail -f` holds an inotify instance; it has it when it has read the file. */
async function hold(count: number, file: string, uid: number): Promise<void> {
  const tails = Array.from({ length: count }, () => {
    const tail = spawn('tail', ['-f', file], {
      uid,
      gid: uid,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    onTestFinished(() => {
      tail.kill('SIGKILL');
    });
    return tail;
  });
  await Promise.all(tails.map((tail) => once(tail.stdout, 'data')));
}
