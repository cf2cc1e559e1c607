import { chmod, chown, mkdir, readFile, readdir, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { findProgram } from '../../src/servers/programs.ts';
import { projectFile, run } from './bundle.ts';
import { ROOT, needsPrograms } from '../support/needs.ts';
import { temporaryFolder } from '../support/temporary.ts';

/**
 * The shell parts that go into images, under Alpine's shell and under Debian's. Folders are a
 * test's own, programs that change a system are stand-ins that note how they were called.
 */
const SHELLS = [
  ['busybox sh', ['busybox', 'sh']],
  ['dash', ['dash']],
] as const;
const OWNER = 5_001;

let folder: string;

beforeEach(async () => {
  folder = temporaryFolder();
  for (const name of ['bin', 'service']) await mkdir(join(folder, name));
});

async function program(name: string, script: string): Promise<void> {
  await writeFile(join(folder, 'bin', name), `#!/bin/sh\n${script}\n`);
  await chmod(join(folder, 'bin', name), 0o755);
}

/** As mlan/kopano's image makes it: only `ham/` is kopano's. */
async function makeSpool(): Promise<void> {
  await mkdir(join(folder, 'spamd/ham'), { recursive: true });
  await chown(join(folder, 'spamd/ham'), OWNER, OWNER);
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

describe.each(SHELLS)('under %s', needsPrograms('busybox'), (_, shell) => {
  // busybox takes its own applets (stat, mkdir, cp) before what the system has, as on Alpine
  async function sh(script: string, env: Readonly<Record<string, string>> = {}): Promise<string> {
    const path = [join(folder, 'bin'), process.env['PATH']].join(':');
    const [first, ...rest] = shell;
    const { stdout } = await run(first, [...rest, '-euc', script], {
      env: { ...env, PATH: path },
    });
    return stdout;
  }

  describe('the entry script', ROOT, () => {
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

    test('leaves kopano-spamd’s folders as they are', async () => {
      await makeSpool();
      await enter();
      expect(await readdir(join(folder, 'spamd'))).toEqual(['ham']);
    });

    test('uses the image’s own log', async () => {
      await makeSpool();
      await program('dc_log', 'echo "logged $*"');
      expect(await enter()).toContain('logged 5 [kopano-learnd] Setting up');
    });
  });

  describe('the run script', ROOT, () => {
    const NO_SERVICE = { code: 78 };

    beforeEach(async () => {
      await program('chpst', 'echo "chpst $*"');
      await mkdir(join(folder, 'service/env'), { recursive: true });
    });

    /** Runs it in the service's folder, with a stand-in that says as whom it would go on. */
    async function start(env: Readonly<Record<string, string>> = {}): Promise<string> {
      const script = projectFile('service/runit/kopano-learnd/run');
      const KOPANO_SPAMD_LIB = join(folder, 'spamd');
      return sh(`cd ${join(folder, 'service')}; exec ${shell.join(' ')} ${script}`, {
        KOPANO_SPAMD_LIB,
        ...env,
      });
    }

    async function madeInSpool(): Promise<readonly string[]> {
      return (await readdir(join(folder, 'spamd'))).sort();
    }

    test('makes what its user may not make in a folder of root, for that user', async () => {
      await makeSpool();
      expect((await start()).split('\n').at(-2)).toBe(
        `chpst -u :${OWNER}:${OWNER} -e ./env kopano-learnd watch`,
      );
      expect(await stat(join(folder, 'spamd/spam'))).toMatchObject({
        uid: OWNER,
        mode: 0o40755,
      });
      expect(await stat(join(folder, 'spamd/.learnd'))).toMatchObject({
        uid: OWNER,
        mode: 0o40700,
      });
      expect((await start()).split('\n')).toHaveLength(2);
    });

    test('the user of ./user gets a state dir, and kopano-spamd spam/', async () => {
      await makeSpool();
      await writeFile(join(folder, 'service/user'), ':7001:7002:7003\n');
      expect(await start()).toContain('chpst -u :7001:7002:7003 ');
      expect(await stat(join(folder, 'spamd/spam'))).toMatchObject({
        uid: OWNER,
        gid: OWNER,
      });
      expect(await stat(join(folder, 'spamd/.learnd'))).toMatchObject({
        uid: 7_001,
        gid: 7_002,
      });
    });

    test.each(['environment', 'env'])('no state dir where another is set, by %s', async (where) => {
      await makeSpool();
      if (where === 'env') await writeFile(join(folder, 'service/env/LEARN_STATE_DIR'), '/srv/x\n');
      await start(where === 'env' ? {} : { LEARN_STATE_DIR: '/srv/x' });
      expect(await madeInSpool()).toEqual(['ham', 'spam']);
    });

    test.each([
      ['belongs to somebody else', OWNER, 0o755],
      ['the group can write to', 0, 0o775],
      ['everybody can write to', 0, 0o757],
    ])('makes nothing in a folder that %s', async (_what, owner, mode) => {
      await makeSpool();
      await chown(join(folder, 'spamd'), owner, owner);
      await chmod(join(folder, 'spamd'), mode);
      expect(await start()).toContain('chpst -u ');
      expect(await madeInSpool()).toEqual(['ham']);
    });

    test('doesn’t follow a link', async () => {
      await makeSpool();
      for (const name of ['target', 'other']) await mkdir(join(folder, name));
      await symlink(join(folder, 'target'), join(folder, 'spamd/.learnd'));
      await symlink(join(folder, 'nowhere'), join(folder, 'spamd/spam'));
      await start();
      expect((await stat(join(folder, 'target'))).uid).toBe(0);
      expect(await readdir(folder)).not.toContain('nowhere');
    });

    test('waits for kopano-spamd, and takes up what it makes', async () => {
      await mkdir(join(folder, 'spamd'));
      await expect(start()).rejects.toMatchObject({
        ...NO_SERVICE,
        stdout: expect.stringMatching(/no .*\/ham yet.*\ncure: start kopano-spamd/) as string,
      });
      await makeSpool();
      expect(await start()).toContain(`chpst -u :${OWNER}:${OWNER} `);
    });

    test('asks for a user where root owns the folders', async () => {
      await mkdir(join(folder, 'spamd/ham'), { recursive: true });
      await expect(start()).rejects.toMatchObject({
        ...NO_SERVICE,
        stdout: expect.stringMatching(/ham belongs to root.*\ncure: give /) as string,
      });
    });
  });

  describe('the exit script', () => {
    async function leave(env: Readonly<Record<string, string>> = {}): Promise<string> {
      await program('sv', 'echo "sv $*"');
      const script = await adapted('exit.d/60-kopano-learnd');
      const SVDIR = join(folder, 'service');
      return (await sh(`. ${script}; echo "$-" | grep -o u`, { SVDIR, ...env })).replaceAll(
        `${SVDIR}/`,
        '',
      );
    }

    test('stops the service, where there is one, and Redis after it', async () => {
      expect(await leave()).toBe('u\n');
      await mkdir(join(folder, 'service/redis'));
      expect(await leave()).toBe('u\n');
      await mkdir(join(folder, 'service/kopano-learnd'));
      expect(await leave()).toBe('sv -w 7 stop kopano-learnd\nsv -w 5 stop redis\nu\n');
    });

    test.each([
      ['30', 32],
      ['0.5', 2],
      ['.5', 2],
      ['long', 7],
    ])('waits for the daemon with SHUTDOWN_SECONDS=%s', async (SHUTDOWN_SECONDS, seconds) => {
      await mkdir(join(folder, 'service/kopano-learnd'));
      expect(await leave({ SHUTDOWN_SECONDS })).toBe(`sv -w ${seconds} stop kopano-learnd\nu\n`);
    });
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
