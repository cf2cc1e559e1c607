import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { findProgram } from '../../src/lab/programs.ts';
import { projectFile, run } from './bundle.ts';
import { describeWith } from './tools.ts';

/**
 * The shell parts that go into images, under Alpine's shell and under Debian's. Folders are a
 * test's own, programs that change a system are stand-ins that note how they were called.
 */
const SHELLS = [
  ['busybox sh', ['busybox', 'sh']],
  ['dash', ['dash']],
] as const;
const isRoot = process.getuid?.() === 0;
const OWNER = 5_001;

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'learnd-entry-'));
  for (const name of ['bin', 'service']) await mkdir(join(folder, name));
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

async function program(name: string, script: string): Promise<void> {
  await writeFile(join(folder, 'bin', name), `#!/bin/sh\n${script}\n`);
  await chmod(join(folder, 'bin', name), 0o755);
}

/** A script with the paths of an image turned into those of this test. */
async function adapted(name: string): Promise<string> {
  const text = await readFile(projectFile(`service/image/${name}`), 'utf8');
  const path = join(folder, 'script');
  await writeFile(
    path,
    text
      .replace('/usr/local/share/kopano-learnd/sv', projectFile('service/runit'))
      .replace('/var/lib/apt/lists', join(folder, 'lists')),
  );
  return path;
}

describeWith('busybox').each(SHELLS)('under %s', (_, shell) => {
  // busybox takes its own applets (stat, mkdir, cp) before what the system has, as on Alpine
  async function sh(script: string, env: Readonly<Record<string, string>> = {}): Promise<string> {
    const path = [join(folder, 'bin'), process.env['PATH']].join(':');
    const [first, ...rest] = shell;
    const { stdout } = await run(first, [...rest, '-euc', script], { env: { ...env, PATH: path } });
    return stdout;
  }

  describe.runIf(isRoot)('the entry script', () => {
    /** Read into a shell, as mlan's entrypoint does; says what became of the shell. */
    async function enter(env: Readonly<Record<string, string>> = {}): Promise<string> {
      const script = await adapted('entry.d/60-kopano-learnd');
      return sh(`lib=mine; . ${script}; echo "$lib"`, {
        SVDIR: join(folder, 'service'),
        KOPANO_SPAMD_LIB: join(folder, 'spamd'),
        ...env,
      });
    }

    async function services(): Promise<readonly string[]> {
      return (await readdir(join(folder, 'service'))).sort();
    }

    /** As mlan/kopano's image makes it: only `ham/` is kopano's. */
    async function makeSpool(): Promise<void> {
      await mkdir(join(folder, 'spamd/ham'), { recursive: true });
      await chown(join(folder, 'spamd/ham'), OWNER, OWNER);
    }

    test('makes no service without the folder, and takes back the one of an earlier start', async () => {
      await mkdir(join(folder, 'service/kopano-learnd'));
      expect(await enter()).toBe('mine\n');
      expect(await services()).toEqual([]);
    });

    test('makes the service in the place of the two for inotifyd, and leaves the others', async () => {
      await makeSpool();
      for (const name of ['spamd-spam', 'spamd-ham', 'rspamd']) {
        await mkdir(join(folder, 'service', name));
      }
      expect(await enter()).toMatch(/Setting up the service kopano-learnd.*\nmine\n$/s);
      expect(await services()).toEqual(['kopano-learnd', 'rspamd']);
      const run = await stat(join(folder, 'service/kopano-learnd/run'));
      expect(run.mode & 0o111).toBe(0o111);
    });

    test('can be run again', async () => {
      await makeSpool();
      await enter();
      await enter({ DOCKER_LEARND_RUNAS: 'rspamd' });
      expect(await services()).toEqual(['kopano-learnd']);
      const user = await readFile(join(folder, 'service/kopano-learnd/user'), 'utf8');
      expect(user).toBe('rspamd\n');
      expect(await readdir(join(folder, 'service/kopano-learnd'))).not.toContain('kopano-learnd');
    });

    test('makes what its user may not make in a folder of root, for that user', async () => {
      await makeSpool();
      await enter();
      expect(await stat(join(folder, 'spamd/spam'))).toMatchObject({ uid: OWNER, mode: 0o40755 });
      expect(await stat(join(folder, 'spamd/.learnd'))).toMatchObject({
        uid: OWNER,
        mode: 0o40700,
      });
    });

    test('makes nothing in a folder that somebody else can write to', async () => {
      await makeSpool();
      await chown(join(folder, 'spamd'), OWNER, OWNER);
      await enter();
      expect(await readdir(join(folder, 'spamd'))).toEqual(['ham']);
    });

    test('doesn’t follow a link', async () => {
      await makeSpool();
      await mkdir(join(folder, 'target'));
      await symlink(join(folder, 'target'), join(folder, 'spamd/.learnd'));
      await enter();
      expect((await stat(join(folder, 'target'))).uid).toBe(0);
    });

    test('uses the image’s own log', async () => {
      await makeSpool();
      await program('dc_log', 'echo "logged $*"');
      expect(await enter()).toContain('logged 5 [kopano-learnd] Setting up');
    });
  });

  test('the exit script stops the service, where there is one', async () => {
    await program('sv', 'echo "sv $*"');
    const script = await adapted('exit.d/60-kopano-learnd');
    const SVDIR = join(folder, 'service');
    expect(await sh(`. ${script}`, { SVDIR })).toBe('');
    await mkdir(join(SVDIR, 'kopano-learnd'));
    expect(await sh(`. ${script}`, { SVDIR })).toBe(`sv -w 7 stop ${SVDIR}/kopano-learnd\n`);
  });

  describe('the installation', () => {
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
  });
});
