import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { findProgram } from '../../src/servers/programs.ts';
import { needsPrograms } from '../support/needs.ts';
import { run } from './bundle.ts';
import { SHELLS, makeStage } from './shells.ts';
import type { ShellStage } from './shells.ts';

/** What brings programs into an image, under both shells. */
let folder: string;
let program: ShellStage['program'];
let adapted: ShellStage['adapted'];

beforeEach(async () => {
  ({ folder, program, adapted } = await makeStage());
});

describe.each(SHELLS)('the installation under %s', needsPrograms('busybox'), (_, shell) => {
  /** With nothing there but what `programs` names. */
  async function install(...words: readonly string[]): Promise<string> {
    const [first, ...rest] = shell;
    const { stdout } = await run(
      findProgram(first, process.env['PATH']) ?? '',
      [...rest, await adapted('install'), ...words],
      { env: { PATH: join(folder, 'bin') } },
    );
    return stdout;
  }

  const node = (version: string): string =>
    `if [ "$1" = --version ]; then echo v${version}; else ${process.execPath} -e "Object.defineProperty(process, 'versions', { value: { node: '${version}' } });$2"; fi`;

  test('brings what is missing, by apk where that is', async () => {
    await program('node', node('22.1.0'));
    await program('apk', 'echo "apk $*"');
    expect(await install('node', 'flock', 'runit')).toBe('apk add --no-cache flock runit\n');
  });

  test('brings what is missing, by apt-get elsewhere, and leaves no lists', async () => {
    await program('node', node('20.19.2'));
    await program('apt-get', 'echo "apt-get $*"');
    await program('rm', `exec ${findProgram('rm', process.env['PATH']) ?? ''} "$@"`);
    await mkdir(join(folder, 'lists'));
    await writeFile(join(folder, 'lists/Packages'), '');
    expect((await install('node', 'flock', 'runit')).split('\n')).toEqual([
      'apt-get -qq update',
      'apt-get -qq -y install --no-install-recommends util-linux runit',
      'apt-get clean',
      '',
    ]);
    expect(await readdir(join(folder, 'lists'))).toEqual([]);
  });

  test('does nothing where everything is there', async () => {
    for (const name of ['flock', 'runsvdir']) await program(name, '');
    await program('node', node('24.0.0'));
    expect(await install('node', 'flock', 'runit')).toBe('');
  });

  test('refuses a Node.js that is too old, with the cure', async () => {
    await program('flock', '');
    for (const version of ['18.20.4', '20.18.1']) {
      await program('node', node(version));
      await expect(install('node', 'flock')).rejects.toMatchObject({
        code: 1,
        stderr: expect.stringMatching(
          new RegExp(`20.19 or later; this image has v${version}\ncure: `),
        ) as string,
      });
    }
  });

  test.each([
    ['apk', 'apk add --no-cache spamassassin\n'],
    ['apt-get', 'apt-get -qq -y install --no-install-recommends spamd'],
  ])('brings spamd, by %s, where SpamAssassin is there without it', async (manager, says) => {
    await program('node', node('24.0.0'));
    for (const name of ['apk', 'apt-get', 'rm']) {
      if (name !== 'apk' || manager === 'apk') await program(name, `echo "${name} $*"`);
    }
    expect(await install('node', 'spamd')).toBe('');
    await program('sa-learn', '');
    expect(await install('node', 'spamd')).toContain(says);
    await program('spamd', '');
    expect(await install('node', 'spamd')).toBe('');
  });
});
