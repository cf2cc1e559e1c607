import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { program } from '../support/run.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { projectFile } from './bundle.ts';

/** The health checks of the images, run by a shell as Docker does, with the bundled program. */
test.each([
  ['service/Dockerfile', 'off', 0],
  ['service/Dockerfile', '127.0.0.1:9', 1],
  ['Dockerfile.fragment', 'off', 0],
  ['Dockerfile.fragment', '127.0.0.1:9', 1],
])('%s, without a daemon, with STATUS_LISTEN=%s in the settings file: %d', (file, listen, code) => {
  const text = readFileSync(projectFile(file), 'utf8');
  const command = /^HEALTHCHECK (?:.*\\\n)*? *CMD ((?:.*\\\n)*.*)$/m.exec(text)?.[1] ?? '';
  expect(command).toContain('kopano-learnd health');
  const folder = temporaryFolder();
  const put = (name: string, content: string): void => {
    writeFileSync(`${folder}/${name}`, content, { mode: 0o755 });
  };
  for (const place of ['kopano-learnd', 'ham']) mkdirSync(`${folder}/${place}`);
  mkdirSync(`${folder}/bin`);
  put('bin/kopano-learnd', `#!/bin/sh\nexec '${process.execPath}' '${program()}' "$@"\n`);
  put('bin/sv', '#!/bin/sh\n');
  put('learnd.conf', `STATUS_LISTEN=${listen}\n`);
  const { status, stdout, stderr } = spawnSync('/bin/sh', ['-c', command], {
    env: {
      PATH: `${folder}/bin`,
      SVDIR: folder,
      KOPANO_SPAMD_LIB: folder,
      KOPANO_LEARND_CONF: `${folder}/learnd.conf`,
    },
    encoding: 'utf8',
  });
  expect(status === 0 ? 0 : 1).toBe(code);
  expect(`${stdout}${stderr}`).toMatch(listen === 'off' ? /STATUS_LISTEN is off/ : /not healthy/);
});
