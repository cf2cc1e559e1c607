import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { OpinionFile } from '../../src/evaluate/opinion-file.ts';
import { MOUNTS } from '../support/needs.ts';
import { mountTmpfs, temporaryFolder } from '../support/temporary.ts';

test('a full disk is told with its cure, and is no error of the program', MOUNTS, () => {
  const disk = temporaryFolder();
  mountTmpfs(disk, 'size=64k');
  const path = join(disk, 'opinion');
  writeFileSync(path, '');
  expect(() => writeFileSync(join(disk, 'rest'), Buffer.alloc(100_000))).toThrow('ENOSPC');
  using opinion = new OpinionFile(path);
  expect(() => opinion.clear()).toThrow(expect.objectContaining({ code: 'evaluate.disk' }));
});
