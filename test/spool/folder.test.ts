import { execFileSync } from 'node:child_process';
import {
  linkSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { Folder } from '../../src/spool/folder.ts';
import { MOUNTS } from '../support/needs.ts';
import { bindMount, isRoot, temporaryFolder } from '../support/temporary.ts';
import { actOnce, isStep } from '../support/fs-steps.ts';

let parent: string;
let path: string;

beforeEach(() => {
  parent = temporaryFolder();
  path = `${parent}/spam`;
  mkdirSync(path);
});

function open(place = path): Folder {
  const folder = Folder.open(place);
  onTestFinished(() => {
    folder.close();
  });
  return folder;
}

function namesIn(folder: Folder): string[] {
  return [...folder.list()].map(({ rawName }) => rawName).sort();
}

describe('opening', () => {
  test('a symlink to a folder is refused', () => {
    symlinkSync(path, `${parent}/link`);
    expect(() => open(`${parent}/link`)).toThrow(expect.objectContaining({ code: 'ENOTDIR' }));
  });

  test('a folder keeps it, whatever its path leads to afterwards', () => {
    const folder = open();
    renameSync(path, `${parent}/moved`);
    mkdirSync(`${parent}/trap`);
    symlinkSync(`${parent}/trap`, path);
    writeFileSync(folder.at('a.eml'), 'body');
    expect(readdirSync(`${parent}/moved`)).toEqual(['a.eml']);
    expect(readdirSync(`${parent}/trap`)).toEqual([]);
    writeFileSync(`${parent}/trap/b.eml`, '');
    expect(namesIn(folder)).toEqual(['a.eml']);
  });
});

describe('a name', () => {
  const names: [what: string, bytes: Buffer][] = [
    ['in UTF-8', Buffer.from('übung.eml')],
    ['in Latin-1, which is no UTF-8', Buffer.from('übung.eml', 'latin1')],
    ['of every byte that a name can hold', allBytes()],
    ['with a newline and ESC', Buffer.from('a\n\u001b[31m.eml')],
    ['of 255 bytes', Buffer.alloc(255, 0xfc)],
    ['that looks like a flag', Buffer.from('-rf')],
  ];

  test.each(names)('%s comes and goes as the same bytes', (_what, bytes) => {
    writeFileSync(Buffer.concat([Buffer.from(`${path}/`), bytes]), 'body');
    const folder = open();
    const [rawName = ''] = namesIn(folder);
    expect(rawName).toBe(bytes.toString('latin1'));
    expect(folder.lstat(rawName)?.size).toBe(4n);
    renameSync(folder.at(rawName), folder.at(`${rawName.slice(1)}x`));
    const [moved] = readdirSync(path, { encoding: 'buffer' });
    expect(moved?.equals(Buffer.concat([bytes.subarray(1), Buffer.from('x')]))).toBe(true);
  });
});

function allBytes(): Buffer {
  const bytes = Array.from({ length: 255 }, (_, index) => index + 1);
  return Buffer.from(bytes.filter((byte) => byte !== 0x2f));
}

describe('a list', () => {
  test('tells regular files from everything else', async () => {
    writeFileSync(`${path}/file`, '');
    linkSync(`${path}/file`, `${path}/hard-link`);
    mkdirSync(`${path}/folder`);
    symlinkSync('file', `${path}/symlink`);
    symlinkSync('nowhere', `${path}/dangling`);
    execFileSync('mkfifo', [`${path}/fifo`]);
    if (isRoot) execFileSync('mknod', [`${path}/null`, 'c', '1', '3']);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(`${path}/socket`, resolve));
    onTestFinished(() => {
      server.close();
    });
    const regular = [...open().list()].filter((entry) => entry.regular);
    expect(regular.map(({ rawName }) => rawName).sort()).toEqual(['file', 'hard-link']);
    expect([...open().list()]).toHaveLength(isRoot ? 8 : 7);
  });

  test('that is given up leaves no descriptor open', () => {
    for (const name of ['a', 'b', 'c']) writeFileSync(`${path}/${name}`, '');
    const folder = open();
    const before = readdirSync('/proc/self/fd').length;
    const list = folder.list();
    list.next();
    list.return();
    expect(readdirSync('/proc/self/fd')).toHaveLength(before);
  });
});

describe('removing a tree', () => {
  test('takes all that is in it, whatever its name, and follows no link', () => {
    mkdirSync(`${parent}/outside`);
    writeFileSync(`${parent}/outside/kept`, '');
    mkdirSync(`${path}/tree/a/b`, { recursive: true });
    writeFileSync(`${path}/tree/a/b/file`, '');
    mkdirSync(Buffer.from(`${path}/tree/\xfc`, 'latin1'));
    writeFileSync(Buffer.from(`${path}/tree/\xfc/\xff`, 'latin1'), '');
    symlinkSync(`${parent}/outside`, `${path}/tree/a/link`);
    execFileSync('mkfifo', [`${path}/tree/fifo`]);
    open().removeTree('tree');
    expect(readdirSync(path)).toEqual([]);
    expect(readdirSync(`${parent}/outside`)).toEqual(['kept']);
  });

  test('does not enter a folder that is swapped for a symlink meanwhile', () => {
    mkdirSync(`${parent}/outside`);
    writeFileSync(`${parent}/outside/kept`, '');
    mkdirSync(`${path}/tree/inner`, { recursive: true });
    writeFileSync(`${path}/tree/inner/file`, '');
    const folder = open();
    actOnce(isStep('openSync', '/inner'), () => {
      renameSync(`${path}/tree/inner`, `${parent}/aside`);
      symlinkSync(`${parent}/outside`, `${path}/tree/inner`);
    });
    expect(() => {
      folder.removeTree('tree');
    }).toThrow('ENOTDIR');
    expect(readdirSync(`${parent}/outside`)).toEqual(['kept']);
  });
});

describe('a folder is current', () => {
  test('no more when another folder takes its place', () => {
    const folder = open();
    renameSync(path, `${parent}/moved`);
    mkdirSync(path);
    expect(folder.isCurrent()).toBe(false);
    expect(open().isCurrent()).toBe(true);
  });

  test('no more when its parent has become a file', () => {
    const folder = open();
    renameSync(parent, `${parent}.moved`);
    writeFileSync(parent, '');
    expect(folder.isCurrent()).toBe(false);
    rmSync(parent);
    renameSync(`${parent}.moved`, parent);
  });

  test('no more when something is mounted over it (needs root)', MOUNTS, () => {
    const folder = open();
    mkdirSync(`${parent}/other`);
    bindMount(`${parent}/other`, path);
    expect(folder.isCurrent()).toBe(false);
  });
});

describe('a closed folder', () => {
  test('gives no address any more: its descriptor may be another folder by now', () => {
    const folder = open();
    folder.close();
    expect(() => folder.at('a.eml')).toThrow(/closed/);
    expect(() => folder.lstat('a.eml')).toThrow(/closed/);
  });

  test('may be closed again without closing what has its descriptor by now', () => {
    const folder = open();
    folder.close();
    const next = open();
    expect(next.fd).toBe(folder.fd);
    folder.close();
    expect(namesIn(next)).toEqual([]);
  });
});
