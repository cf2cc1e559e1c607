import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
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
    expect(() => {
      page.publish('x'.repeat(1_000_000));
    }).toThrow(`${path} can't be written (ENOSPC)`);
  }
  expect(readdirSync(disk)).toEqual(['page.html']);
  expect(readFileSync(path, 'utf8')).toBe('an older page');
});
