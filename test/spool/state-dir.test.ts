import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  rmdirSync,
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
        hint: 'run it as uid 1, who owns it: without --user root',
        command: undefined,
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

  test('when it is a folder for everybody, and stays one', () => {
    mkdirSync(path);
    chmodSync(path, 0o1777);
    expect(() => open()).toThrow(
      expect.objectContaining({
        code: 'state-dir.foreign',
        message: expect.stringContaining('can be written by others') as string,
      }),
    );
    expect(modeOf(path)).toBe(0o1777);
  });

  test('when it is a dangling symlink, and nothing is made where it leads', () => {
    symlinkSync(`${base}/nowhere`, path);
    expect(() => open()).toThrow(expect.objectContaining({ code: 'state-dir.not-a-folder' }));
    expect(readdirSync(base)).toEqual(['spamd']);
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
});

describe('a local fault', () => {
  test('such as a full disk is the system’s own error (needs root)', MOUNTS, () => {
    mountTmpfs(`${base}/tiny`, 'size=64k,nr_inodes=4');
    expect(() => open({ path: `${base}/tiny/state` })).toThrow(
      expect.objectContaining({ code: 'ENOSPC' }),
    );
  });
});

/** What kubelet does with a volume at each mount where the pod has an `fsGroup`. */
function asKubelet(place: string, group: number): void {
  const isFolder = lstatSync(place).isDirectory();
  chownSync(place, -1, group);
  chmodSync(place, modeOf(place) | (isFolder ? 0o2770 : 0o660));
  if (isFolder) for (const name of readdirSync(place)) asKubelet(`${place}/${name}`, group);
}

describe('a state dir of our own that others can write to', () => {
  let heard: string[];
  const onTightened = (mode: string): void => {
    heard.push(mode);
  };

  beforeEach(() => {
    heard = [];
  });

  test.each([0o770, 0o720, 0o702, 0o777, 0o2770])('with mode %o becomes ours alone', (mode) => {
    mkdirSync(path);
    chmodSync(path, mode);
    open({ onTightened });
    expect(modeOf(path)).toBe(0o700);
    expect(heard).toEqual([mode.toString(8).padStart(4, '0')]);
  });

  test('as a volume with an fsGroup, is so with all its folders and keeps its files', () => {
    open().close();
    put(`${path}/queue/spam/a.eml`, 'body');
    asKubelet(path, gid);
    const stateDir = open({ onTightened });
    expect(heard.length).toBeGreaterThan(0);
    const folders = readdirSync(path, { recursive: true, encoding: 'utf8', withFileTypes: true });
    for (const each of folders.filter((entry) => entry.isDirectory())) {
      expect(modeOf(`${each.parentPath}/${each.name}`)).toBe(0o700);
    }
    expect(stateDir.queue.spam.lstat('a.eml')?.size).toBe(4n);
    heard = [];
    open({ onTightened });
    expect(heard).toEqual([]);
  });

  test('is changed by its descriptor: a symlink in its place leads nowhere', () => {
    const stateDir = open({ onTightened });
    chmodSync(`${path}/tmp`, 0o2770);
    renameSync(`${path}/tmp`, `${path}/moved`);
    mkdirSync(`${base}/elsewhere`);
    chmodSync(`${base}/elsewhere`, 0o2775);
    symlinkSync(`${base}/elsewhere`, `${path}/tmp`);
    expect(stateDir.isOurs()).toBe(false);
    expect(modeOf(`${base}/elsewhere`)).toBe(0o2775);
    expect(modeOf(`${path}/moved`)).toBe(0o700);
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
    const places = ['archive', 'posts', 'quarantine', 'queue', 'release'];
    const all = places.flatMap((place) => [place, `${place}/ham`, `${place}/spam`]);
    expect(folders).toEqual([...all, 'tmp']);
    for (const folder of folders) expect(modeOf(`${path}/${folder}`)).toBe(0o700);
    expect(modeOf(path)).toBe(0o700);
  });

  test('stays the daemon’s when somebody tidies up a class that is no longer set', () => {
    open({ verdicts: ['spam', 'ham', 'news'] }).close();
    const stateDir = open();
    expect(stateDir.former.map((folder) => folder.path)).toEqual(
      ['queue', 'quarantine', 'release'].map((place) => `${path}/${place}/news`),
    );
    rmdirSync(`${path}/queue/news`);
    expect(stateDir.isOurs()).toBe(true);
    rmdirSync(`${path}/queue/spam`);
    expect(stateDir.isOurs()).toBe(false);
  });
});
