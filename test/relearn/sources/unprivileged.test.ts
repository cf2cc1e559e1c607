import { chmodSync } from 'node:fs';
import { expect, test } from 'vitest';
import { mail, putIn, readAll, sourceAt, told } from '../../support/relearn-sources.ts';
import { temporaryFolder } from '../../support/temporary.ts';

test('what an ordinary user may not read fails in plain words, and the rest is read', async () => {
  const folder = temporaryFolder();
  for (const name of ['a', 'b', 'closed/c']) putIn(folder, name, mail('it'));
  for (const name of ['a', 'closed']) chmodSync(`${folder}/${name}`, 0);
  const read = async (path: string): Promise<string[]> =>
    told(await readAll(sourceAt(path)), folder);
  expect(await read(`${folder}/a`)).toEqual(['failed a: EACCES: permission denied']);
  expect(await read(folder)).toEqual([
    'failed a: EACCES: permission denied',
    'failed closed: EACCES: permission denied',
    'message b it',
  ]);
  chmodSync(`${folder}/closed`, 0o755);
});
