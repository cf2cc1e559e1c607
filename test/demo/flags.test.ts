import { expect, test } from 'vitest';
import { projectFile, run } from '../service/bundle.ts';
import { temporaryFolder } from '../support/temporary.ts';

test.each(['--help', '--kep'])('the demo tells its flags to who says %s', async (flag) => {
  const folder = temporaryFolder();
  await run(process.execPath, [projectFile('scripts/demo.mjs'), folder]);
  await expect(run(process.execPath, [`${folder}/demo.mjs`, flag])).rejects.toMatchObject({
    code: 64,
    stderr: expect.stringMatching(
      /^Unknown option .*\nusage: npm run demo -- \[--keep\]\n$/,
    ) as string,
  });
});
