import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { OutputFile } from '../../src/evaluate/output-file.ts';
import { MOUNTS } from '../support/needs.ts';
import { mountTmpfs, temporaryFolder } from '../support/temporary.ts';

test('a page that finds no room leaves the one before it, and nothing else', MOUNTS, () => {
  const disk = temporaryFolder();
  mountTmpfs(disk, 'size=64k');
  const path = join(disk, 'page.html');
  writeFileSync(path, 'an older page');
  {
    using page = new OutputFile(path);
    expect(() => page.publish('x'.repeat(1_000_000))).toThrow(`${path} can't be written (ENOSPC)`);
  }
  expect(readdirSync(disk)).toEqual(['page.html']);
  expect(readFileSync(path, 'utf8')).toBe('an older page');
});

test('what is no file stays what it is, and is refused before any work', () => {
  const folder = temporaryFolder();
  const [pipe, inner] = [join(folder, 'pipe'), join(folder, 'folder')];
  execFileSync('mkfifo', [pipe]);
  mkdirSync(inner);
  for (const [path, what] of [
    [pipe, 'no regular file'],
    [inner, 'a folder'],
  ] as const) {
    expect(() => new OutputFile(path)).toThrow(`${path} can't be written (${what})`);
  }
  expect(statSync(pipe).isFIFO()).toBe(true);
  expect(readdirSync(folder).sort()).toEqual(['folder', 'pipe']);
});

test('a symlink stays, and what it leads to is written', () => {
  const folder = temporaryFolder();
  const [link, path] = [join(folder, 'link'), join(folder, 'page.html')];
  writeFileSync(path, 'an older page');
  symlinkSync('page.html', link);
  {
    using page = new OutputFile(link);
    page.publish('a page');
  }
  expect([readlinkSync(link), readFileSync(path, 'utf8')]).toEqual(['page.html', 'a page']);
});

test("what a process of the same number left is in nobody's way", () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, `.page.html.${process.pid}`), 'half a page');
  const path = join(folder, 'page.html');
  {
    using page = new OutputFile(path);
    page.publish('a page');
  }
  expect(readFileSync(path, 'utf8')).toBe('a page');
});
