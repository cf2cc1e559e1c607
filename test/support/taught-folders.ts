import { mkdirSync } from 'node:fs';
import { onTestFinished } from 'vitest';
import { Folder } from '../../src/spool/folder.ts';
import { temporaryFolder } from './temporary.ts';

/** The folders that taught messages are kept and made in, open until the test is over. */
export function taughtFolders() {
  const root = temporaryFolder();
  for (const name of ['taught', 'tmp']) mkdirSync(`${root}/${name}`);
  const [folder, temporary] = [Folder.open(`${root}/taught`), Folder.open(`${root}/tmp`)];
  onTestFinished(() => {
    folder.close();
    temporary.close();
  });
  return { root, folder, temporary };
}
