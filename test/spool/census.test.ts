import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { countMessages } from '../../src/spool/census.ts';
import type { Place } from '../../src/spool/census.ts';
import { temporaryFolder } from '../support/temporary.ts';

/** A folder with files of these names in it; what ends in a slash is a folder. */
function folderOf(...names: readonly string[]): string {
  const folder = temporaryFolder();
  for (const name of names) {
    if (name.endsWith('/')) mkdirSync(`${folder}/${name}`, { recursive: true });
    else writeFileSync(`${folder}/${name}`, 'x');
  }
  return folder;
}

describe('messages are counted', () => {
  test('in the drop directory: whatever their ending, hidden files not, half-way ones too', async () => {
    const folder = folderOf('a.eml', 'b.json', 'c', '.hidden', '.learnd-d.eml', 'folder/');
    symlinkSync('a.eml', `${folder}/link.eml`);
    expect(await countMessages(folder, 'drop')).toBe(4);
  });

  test('below the state dir also what is no regular file: nobody has read it', async () => {
    const folder = folderOf('a.eml', 'folder/', 'folder.json');
    symlinkSync('a.eml', `${folder}/link.eml`);
    for (const place of ['queue', 'quarantine', 'release'] as const) {
      expect(await countMessages(folder, place)).toBe(3);
    }
  });

  test('in the archive, over all days', async () => {
    const folder = folderOf('2026-01-01/', '2026-01-02/', 'stray', '2026-01-01/a', '2026-01-02/a');
    expect(await countMessages(folder, 'archive')).toBe(2);
  });
});

describe('a folder that can’t be counted', () => {
  const PLACES: readonly Place[] = ['drop', 'queue', 'release', 'quarantine', 'archive'];

  test.each(PLACES)('is told apart when it is missing: %s', async (place) => {
    const missing = countMessages(`${temporaryFolder()}/none`, place);
    await expect(missing).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('is not followed where it is a symlink', async () => {
    const folder = folderOf('a.eml');
    symlinkSync(folder, `${folder}/link`);
    const found = countMessages(`${folder}/link`, 'queue');
    await expect(found).rejects.toMatchObject({ code: 'ENOTDIR' });
  });
});
