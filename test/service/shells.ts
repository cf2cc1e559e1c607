import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryFolder } from '../support/temporary.ts';
import { projectFile } from './bundle.ts';

/**
 * What the shell parts that go into images are tried with: Alpine's shell and Debian's, folders of a test's
 * own, and stand-ins for the programs that change a system, which note how they were called.
 */
export const SHELLS = [
  ['busybox sh', ['busybox', 'sh']],
  ['dash', ['dash']],
] as const;

export const SPAMD_SERVICE = 'service/image/sv/kopano-learnd-spamd';
const SHARED = '/usr/local/share/kopano-learnd';

export interface ShellStage {
  /** Holds `bin`, for the stand-ins, and `service`. */
  readonly folder: string;
  /** Makes a stand-in. */
  readonly program: (name: string, script: string) => Promise<void>;
  /** A script of `service/image/`, its paths of an image turned into those of this test. */
  readonly adapted: (name: string) => Promise<string>;
}

export async function makeStage(): Promise<ShellStage> {
  const folder = temporaryFolder();
  for (const name of ['bin', 'service']) await mkdir(join(folder, name));
  const program = async (name: string, script: string): Promise<void> => {
    await writeFile(join(folder, 'bin', name), `#!/bin/sh\n${script}\n`);
    await chmod(join(folder, 'bin', name), 0o755);
  };
  const adapted = async (name: string): Promise<string> => {
    const text = await readFile(projectFile(`service/image/${name}`), 'utf8');
    const path = join(folder, 'script');
    await writeFile(
      path,
      text
        .replace(`${SHARED}/sv/kopano-learnd-spamd`, projectFile(SPAMD_SERVICE))
        .replace(`${SHARED}/sv`, projectFile('service/runit'))
        .replace('/var/lib/apt/lists', join(folder, 'lists')),
    );
    return path;
  };
  return { folder, program, adapted };
}
