import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { PathSource } from '../../../src/relearn/sources/path-source.ts';
import { mail, readAll, readingOptions, told } from '../../support/relearn-sources.ts';
import { temporaryFolder } from '../../support/temporary.ts';

/** Sources that an ordinary user may not read. */

async function lines(folder: string, path = folder): Promise<string[]> {
  return told(await readAll(new PathSource(path, 'spam', readingOptions())), folder);
}

test('a file that is not readable fails with the plain words', async () => {
  const folder = temporaryFolder();
  writeFileSync(`${folder}/a`, mail('one'), { mode: 0 });
  expect(await lines(folder, `${folder}/a`)).toEqual(['failed a: EACCES: permission denied']);
});

test('a folder is read on after what is not readable', async () => {
  const folder = temporaryFolder();
  mkdirSync(`${folder}/closed`);
  writeFileSync(`${folder}/a`, mail('one'), { mode: 0 });
  writeFileSync(`${folder}/b`, mail('two'));
  writeFileSync(`${folder}/closed/c`, mail('three'));
  chmodSync(`${folder}/closed`, 0);
  expect(await lines(folder)).toEqual([
    'failed a: EACCES: permission denied',
    'failed closed: EACCES: permission denied',
    'message b two',
  ]);
  chmodSync(`${folder}/closed`, 0o755);
});
