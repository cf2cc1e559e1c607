import { chmodSync, mkdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { closedFolders } from '../../src/status/counts.ts';
import { VERDICTS } from '../../src/verdict.ts';
import { temporaryFolder } from '../support/temporary.ts';

test('a class folder that nothing can be taken from is told while nothing lies in it', async () => {
  const lib = temporaryFolder();
  for (const name of ['spam', 'ham']) mkdirSync(`${lib}/${name}`);
  expect(await closedFolders({ libDir: lib, verdicts: VERDICTS })).toEqual([]);
  chmodSync(`${lib}/spam`, 0o555);
  expect(await closedFolders({ libDir: lib, verdicts: VERDICTS })).toEqual([
    {
      place: `${lib}/spam`,
      code: 'EACCES',
      says: 'no message can be taken out of it (permission denied)',
    },
  ]);
});
