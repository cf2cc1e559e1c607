import { chmod, chown, mkdir, readFile, readdir, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { findProgram } from '../../src/servers/programs.ts';
import { projectFile, run } from './bundle.ts';
import { ROOT, needsPrograms } from '../support/needs.ts';
import { SHELLS, SPAMD_SERVICE, makeStage } from './shells.ts';
import type { ShellStage } from './shells.ts';

/** The scripts that mlan's entrypoint reads, and the services that they make, under both shells. */
const OWNER = 5_001;
/** What the scripts call, as far as Debian's busybox has it. */
const APPLETS = [
  ...['awk', 'chown', 'cp', 'cut', 'find', 'grep', 'head', 'id', 'mkdir', 'rm', 'sed', 'stat'],
  ...['tail', 'tr'],
];

let folder: string;
let program: ShellStage['program'];
let adapted: ShellStage['adapted'];

beforeEach(async () => {
  ({ folder, program, adapted } = await makeStage());
});

/** As mlan/kopano's image makes it: only `ham/` is kopano's. */
async function makeSpool(): Promise<void> {
  await mkdir(join(folder, 'spamd/ham'), { recursive: true });
  await chown(join(folder, 'spamd/ham'), OWNER, OWNER);
}

describe.each(SHELLS)('under %s', needsPrograms('busybox'), (_, shell) => {
  // Alpine's programs are busybox's, too
  beforeEach(async () => {
    if (shell[0] !== 'busybox') return;
    const busybox = findProgram('busybox', process.env['PATH']) ?? '';
    for (const applet of APPLETS) await symlink(busybox, join(folder, 'bin', applet));
  });

  async function sh(script: string, env: Readonly<Record<string, string>> = {}): Promise<string> {
    const path = [join(folder, 'bin'), process.env['PATH']].join(':');
    const [first, ...rest] = shell;
    const program = findProgram(first, process.env['PATH']) ?? first;
    const { stdout } = await run(program, [...rest, '-euc', script], {
      env: { PATH: path, ...env },
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
        KOPANO_LEARND_CONF: join(folder, 'conf'),
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

    describe('beside SpamAssassin', () => {
      const SOCKET = 'unix:/run/kopano-learnd/spamd.sock';

      /** With nothing on the PATH but what a shell script needs, and these. */
      async function enterWith(
        programs: readonly string[],
        env: Readonly<Record<string, string>> = {},
      ): Promise<void> {
        for (const name of programs) await program(name, '');
        const tools = ['cp', 'grep', 'id', 'mkdir', 'printenv', 'rm', 'sed', 'tail', 'tr'];
        for (const tool of tools) {
          const from = findProgram(tool, process.env['PATH']) ?? '';
          await symlink(from, join(folder, 'bin', tool)).catch(() => undefined);
        }
        await enter({ PATH: join(folder, 'bin'), DOCKER_MILT_RUNAS: 'nobody', ...env });
      }

      const settings = (): Promise<string> =>
        readFile(join(folder, 'conf'), 'utf8').catch(() => 'no file');
      const inService = (name: string, file: string): Promise<string> =>
        readFile(join(folder, 'service', name, file), 'utf8').catch(() => 'no file');

      beforeEach(makeSpool);

      test('has it taught by a spamd of its own, whatever starts again', async () => {
        for (let start = 1; start <= 2; start += 1) {
          await enterWith(['sa-learn', 'spamd']);
          expect(await settings()).toBe(`LEARN_TRAINERS=spamassassin\nSPAMD_URL=${SOCKET}\n`);
          expect(await services()).toEqual(['kopano-learnd', 'kopano-learnd-spamd']);
          expect(await inService('kopano-learnd-spamd', 'user')).toBe('nobody\n');
          expect(await inService('kopano-learnd-spamd', 'report')).toBe('no file');
          expect(await inService('kopano-learnd', 'user')).toBe('no file');
        }
      });

      test('by sa-learn, as the filter’s user, where there is no spamd', async () => {
        await enterWith(['sa-learn']);
        const program = join(folder, 'bin/sa-learn');
        expect(await settings()).toBe(`LEARN_TRAINERS=spamassassin\nSPAMD_URL=exec:${program}\n`);
        expect(await services()).toEqual(['kopano-learnd']);
        expect(await inService('kopano-learnd', 'user')).toBe('nobody\n');
      });

      test('not where the image has rspamd', async () => {
        await enterWith(['sa-learn', 'spamd', 'rspamd']);
        expect(await settings()).toBe('no file');
        expect(await services()).toEqual(['kopano-learnd']);
      });

      test('not against the environment, or the settings file', async () => {
        await enterWith(['sa-learn', 'spamd'], { LEARN_TRAINERS: 'rspamd' });
        expect(await settings()).toBe('no file');
        await writeFile(join(folder, 'conf'), 'SPAMD_URL=spamd://elsewhere');
        await enterWith([]);
        expect(await settings()).toBe('SPAMD_URL=spamd://elsewhere\nLEARN_TRAINERS=spamassassin\n');
        expect(await services()).toEqual(['kopano-learnd']);
      });

      test('by the spamd that a settings file names whose lines end as on Windows', async () => {
        await writeFile(join(folder, 'conf'), `SPAMD_URL=${SOCKET}\r\nSPAMD_REPORT=yes\r\n`);
        await enterWith(['sa-learn', 'spamd']);
        expect(await services()).toEqual(['kopano-learnd', 'kopano-learnd-spamd']);
        expect(await inService('kopano-learnd-spamd', 'report')).toBe('yes\n');
      });

      test('with a spamd that reports where that is wanted', async () => {
        await enterWith(['sa-learn', 'spamd'], { SPAMD_REPORT: 'Yes' });
        expect(await inService('kopano-learnd-spamd', 'report')).toBe('yes\n');
      });
    });
  });

  describe('the run script of spamd', ROOT, () => {
    async function start(files: Readonly<Record<string, string>>): Promise<string> {
      for (const [name, text] of Object.entries(files)) {
        await writeFile(join(folder, 'service', name), text);
      }
      await program('chpst', 'echo "chpst $*"');
      const text = await readFile(projectFile(`${SPAMD_SERVICE}/run`), 'utf8');
      const script = join(folder, 'spamd-run');
      await writeFile(
        script,
        text.replaceAll('/run/kopano-learnd', join(folder, 'run')).replace('exec sleep 30', 'exit'),
      );
      return sh(`cd ${join(folder, 'service')}; . ${script}`);
    }

    test.each([
      ['alone', {}, '-m 1 --local'],
      ['with room for reports', { report: 'yes\n' }, '-m 2'],
    ])('starts it as the filter’s user, %s', async (_what, files, words) => {
      expect(await start({ user: 'nobody\n', ...files })).toBe(
        `chpst -u nobody mkdir -m 0700 /nonexistent/.spamassassin\n` +
          `chpst -u nobody spamd ${words} --nouser-config --allow-tell ` +
          `--helper-home-dir=/nonexistent --socketpath=${folder}/run/spamd.sock --syslog=stderr\n`,
      );
      expect((await stat(join(folder, 'run'))).uid).toBe(65_534);
    });

    test.each([
      ['no', ''],
      ['an unknown', 'no-such-user\n'],
    ])('says what to do with %s user', async (_what, user) => {
      expect(await start({ user })).toMatch(/there is no user .*\ncure: set DOCKER_MILT_RUNAS /);
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

    test('runs with all groups of the owner, whatever the folder’s group is', async () => {
      await makeSpool();
      // nobody
      await chown(join(folder, 'spamd/ham'), 65_534, OWNER);
      expect(await start()).toContain('chpst -u :65534:65534 ');
    });

    test.each([
      ['lines end as on Windows', 'conf', 'LIB\r\nSTATUS_LISTEN=off\r\n'],
      ['a line occurs twice, which the daemon tells', 'conf', 'LIB\nLIB\n'],
      ['there are blanks behind it', 'service/env/KOPANO_SPAMD_LIB', 'FOLDER \t\n'],
    ])('finds the folder that the daemon finds where %s', async (_what, file, text) => {
      await makeSpool();
      const place = join(folder, 'spamd');
      const content = text.replaceAll('LIB', `KOPANO_SPAMD_LIB=${place}`).replace('FOLDER', place);
      await writeFile(join(folder, file), content);
      const KOPANO_LEARND_CONF = join(folder, 'conf');
      expect(await start({ KOPANO_SPAMD_LIB: '', KOPANO_LEARND_CONF })).toContain(
        `chpst -u :${OWNER}:${OWNER} `,
      );
    });

    test.each([
      [' \n', `chpst -u :${OWNER}:${OWNER} `],
      [':0:0\n', 'user says root\ncure: '],
    ])('understands the file user where it holds %j', async (content, says) => {
      await makeSpool();
      await writeFile(join(folder, 'service/user'), content);
      await start().then(
        (said) => expect(said).toContain(says),
        (error: unknown) => expect(error).toHaveProperty('stdout', expect.stringContaining(says)),
      );
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
    async function leave(
      env: Readonly<Record<string, string>> = {},
      sv = 'echo "sv $*"',
    ): Promise<string> {
      await program('sv', sv);
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

    test('goes on to Redis, and lets the entry point go on, when the daemon does not stop', async () => {
      for (const name of ['kopano-learnd', 'redis']) await mkdir(join(folder, 'service', name));
      const said = await leave({}, 'echo "sv $*"; exit 1');
      expect(said).toBe('sv -w 7 stop kopano-learnd\nsv -w 5 stop redis\nu\n');
    });

    test.each([
      ['30', 32],
      ['0.5', 2],
      ['.5', 2],
      ['08', 10],
      ['20s', 22],
      ['7500ms', 9],
      ['1.5 M', 92],
      ['2 minutes', 122],
      ['1h', 3_602],
      ['long', 7],
    ])('waits for the daemon with SHUTDOWN_SECONDS=%s', async (SHUTDOWN_SECONDS, seconds) => {
      await mkdir(join(folder, 'service/kopano-learnd'));
      expect(await leave({ SHUTDOWN_SECONDS })).toBe(`sv -w ${seconds} stop kopano-learnd\nu\n`);
    });
  });
});
