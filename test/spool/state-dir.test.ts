import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { SpoolMissingError, openStateDir } from '../../src/spool/state-dir.ts';
import type { StateDir, StateDirOptions } from '../../src/spool/state-dir.ts';
import { MOUNTS, ROOT } from '../support/needs.ts';
import { mountTmpfs, temporaryFolder } from '../support/temporary.ts';
import { put } from '../support/test-spool.ts';

const uid = process.geteuid?.() ?? 0;
const gid = process.getegid?.() ?? 0;

let base: string;
let lib: string;
let path: string;

beforeEach(() => {
  base = temporaryFolder();
  lib = `${base}/spamd`;
  path = `${lib}/.learnd`;
  mkdirSync(lib);
});

function open(options: Partial<StateDirOptions> = {}): StateDir {
  const stateDir = openStateDir({ path, libDir: lib, uid, gid, ...options });
  onTestFinished(() => {
    stateDir.close();
  });
  return stateDir;
}

function modeOf(place: string): number {
  return lstatSync(place).mode & 0o7777;
}

describe('a state dir is refused', () => {
  test('when it belongs to somebody else (needs root)', ROOT, () => {
    mkdirSync(path, { mode: 0o700 });
    chownSync(path, 1, 1);
    expect(() => open()).toThrow(
      expect.objectContaining({
        code: 'state-dir.foreign',
        exitCode: 78,
        message: `the state dir ${path} belongs to uid 1, but kopano-learnd runs as uid 0`,
        hint: expect.stringMatching(
          `^run kopano-learnd as uid 1, who owns it, or make it .*: chown -R 0:0 ${path} && chmod 0700 ${path}`,
        ) as string,
      }),
    );
    expect(readdirSync(path)).toEqual([]);
  });

  test('when other things are in it, and nobody is told to give them away', () => {
    mkdirSync(path);
    chmodSync(path, 0o777);
    put(`${path}/somebody-elses`, '');
    expect(() => open()).toThrow(
      expect.objectContaining({
        code: 'state-dir.foreign',
        hint: expect.stringMatching(
          `^set LEARN_STATE_DIR to a folder of its own, such as ${path}/learnd: `,
        ) as string,
      }),
    );
  });

  test.each([0o770, 0o720, 0o702, 0o777])('when others may write it: %o', (mode) => {
    mkdirSync(path);
    chmodSync(path, mode);
    expect(() => open()).toThrow(
      expect.objectContaining({
        code: 'state-dir.foreign',
        message: expect.stringContaining(`mode 0${mode.toString(8)}`) as string,
        hint: expect.stringContaining(`chmod 0700 ${path}`) as string,
      }),
    );
    expect(readdirSync(path)).toEqual([]);
  });

  test('when it is a symlink, also to a folder that would do', () => {
    mkdirSync(`${base}/real`, { mode: 0o700 });
    symlinkSync(`${base}/real`, path);
    expect(() => open()).toThrow(expect.objectContaining({ code: 'state-dir.not-a-folder' }));
    expect(readdirSync(`${base}/real`)).toEqual([]);
  });

  test('when it is a dangling symlink, and nothing is made where it leads', () => {
    symlinkSync(`${base}/nowhere`, path);
    expect(() => open()).toThrow(expect.objectContaining({ code: 'state-dir.not-a-folder' }));
    expect(readdirSync(base)).toEqual(['spamd']);
  });

  test('when it is a file', () => {
    put(path, 'body');
    expect(() => open()).toThrow(expect.objectContaining({ code: 'state-dir.not-a-folder' }));
  });

  test.each(['queue', 'queue/spam', 'archive/ham', 'quarantine', 'tmp'])(
    'when %s in it is a symlink',
    (inner) => {
      open().close();
      renameSync(`${path}/${inner}`, `${base}/moved`);
      symlinkSync(`${base}/moved`, `${path}/${inner}`);
      expect(() => open()).toThrow();
    },
  );

  test('and leaves no descriptor open', () => {
    open().close();
    rmSync(`${path}/tmp`, { recursive: true });
    put(`${path}/tmp`, '');
    const before = readdirSync('/proc/self/fd').length;
    expect(() => open()).toThrow();
    expect(readdirSync('/proc/self/fd')).toHaveLength(before);
  });
});

describe('a missing spool', () => {
  test('is not made for the state dir inside it', () => {
    rmSync(lib, { recursive: true });
    expect(() => open()).toThrow(SpoolMissingError);
    expect(() => open({ path: `${lib}/deep/inside` })).toThrow(SpoolMissingError);
    expect(readdirSync(base)).toEqual([]);
  });

  test('does not matter to a state dir elsewhere', () => {
    rmSync(lib, { recursive: true });
    open({ path: `${base}/a/b/state` });
    expect(readdirSync(base)).toEqual(['a']);
  });

  test('is no prefix: a state dir beside it is elsewhere', () => {
    rmSync(lib, { recursive: true });
    open({ path: `${lib}-state` });
    expect(readdirSync(base)).toEqual(['spamd-state']);
  });
});

describe('a local fault', () => {
  test('such as a full disk is the system’s own error (needs root)', MOUNTS, () => {
    mountTmpfs(`${base}/tiny`, 'size=64k,nr_inodes=4');
    expect(() => open({ path: `${base}/tiny/state` })).toThrow(
      expect.objectContaining({ code: 'ENOSPC' }),
    );
  });
});

describe('a state dir', () => {
  test('is made with all its folders, for its owner alone, whatever the umask', () => {
    const umask = process.umask(0);
    try {
      open();
    } finally {
      process.umask(umask);
    }
    const folders = readdirSync(path, { recursive: true, encoding: 'utf8' }).sort();
    expect(folders).toEqual([
      'archive',
      'archive/ham',
      'archive/spam',
      'posts',
      'posts/ham',
      'posts/spam',
      'quarantine',
      'quarantine/ham',
      'quarantine/spam',
      'queue',
      'queue/ham',
      'queue/spam',
      'release',
      'release/ham',
      'release/spam',
      'tmp',
    ]);
    for (const folder of folders) expect(modeOf(`${path}/${folder}`)).toBe(0o700);
    expect(modeOf(path)).toBe(0o700);
  });

  test('is usable with a umask that forbids everything', () => {
    const umask = process.umask(0o777);
    try {
      open();
    } finally {
      process.umask(umask);
    }
    expect(modeOf(`${path}/queue/spam`)).toBe(0o700);
  });

  test('that is there already keeps what is in it', () => {
    open().close();
    put(`${path}/queue/spam/a.eml`, 'body');
    const stateDir = open();
    expect(stateDir.queue.spam.lstat('a.eml')?.size).toBe(4n);
  });

  test('may be readable by others: they can’t decide what is learned', () => {
    mkdirSync(path);
    chmodSync(path, 0o755);
    expect(() => open()).not.toThrow();
  });

  test('is the folder that was opened, whatever its path leads to later', () => {
    const stateDir = open();
    renameSync(path, `${base}/moved`);
    mkdirSync(path);
    expect(stateDir.root.isCurrent()).toBe(false);
    put(`${base}/moved/queue/spam/a.eml`, 'body');
    expect(stateDir.queue.spam.lstat('a.eml')).toBeDefined();
  });

  test('closes all that it opened, once', () => {
    const before = readdirSync('/proc/self/fd').length;
    const stateDir = openStateDir({ path, libDir: lib, uid, gid });
    expect(readdirSync('/proc/self/fd').length).toBeGreaterThan(before);
    stateDir.close();
    stateDir.close();
    expect(readdirSync('/proc/self/fd')).toHaveLength(before);
  });
});
