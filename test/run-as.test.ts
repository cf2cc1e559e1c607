import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  readdirSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { accountFor, isInSpool } from '../src/run-as.ts';
import type { AccountQuery } from '../src/run-as.ts';
import { ROOT } from './support/needs.ts';
import type { Result } from './support/run-cli.ts';
import { program } from './support/run.ts';
import { NOBODY, temporaryFolder } from './support/temporary.ts';

/** Root's commands run as the spool's owner: the built program, with spools of several owners. */

const DAEMON_USER = { uid: NOBODY, gid: NOBODY };

interface Spool {
  readonly lib: string;
  readonly query: Pick<AccountQuery, 'spool'>;
}

function spoolOf(
  owner: { readonly uid: number; readonly gid: number },
  names = ['spam', 'ham'],
): Spool {
  const lib = temporaryFolder();
  chmodSync(lib, 0o755);
  for (const name of names) {
    mkdirSync(join(lib, name), { mode: 0o755 });
    chownSync(join(lib, name), owner.uid, owner.gid);
  }
  chownSync(lib, owner.uid, owner.gid);
  return { lib, query: { spool: { libDir: lib, stateDir: join(lib, '.learnd') } } };
}

function environmentOf(lib: string): Record<string, string> {
  return {
    PATH: process.env['PATH'] ?? '',
    KOPANO_SPAMD_LIB: lib,
    STATUS_LISTEN: 'off',
    RSPAMD_URL: 'http://127.0.0.1:9',
  };
}

/** @param node what runs the program */
function run(
  args: readonly string[],
  lib: string,
  node: readonly string[] = [process.execPath],
  file = program(),
): Result {
  const [first = '', ...rest] = [...node, file, ...args];
  const { status, stdout, stderr } = spawnSync(first, rest, {
    encoding: 'utf8',
    env: environmentOf(lib),
    timeout: 120_000,
  });
  return { code: status, out: stdout, err: stderr };
}

const ROOTS = { uid: 0, gid: 0 };

describe('whom root’s commands run as', ROOT, () => {
  test('is the owner of ham/, and what is made belongs to that one', () => {
    const { lib } = spoolOf(DAEMON_USER);
    const { code, err } = run(['watch', '--once'], lib);
    expect({ code, err }).toEqual({
      code: 0,
      err: expect.stringMatching(
        /^kopano-learnd: runs as \S+( \d+)?, who owns \S+ham\n$/,
      ) as string,
    });
    expect(statSync(join(lib, '.learnd'))).toMatchObject(DAEMON_USER);
    expect(statSync(join(lib, '.learnd/queue/spam'))).toMatchObject(DAEMON_USER);
  });

  test('is the owner of the state dir before that of ham/', () => {
    const { query } = spoolOf({ uid: 12_345, gid: 12_346 }, ['ham', '.learnd']);
    chownSync(query.spool.stateDir, 12_347, 12_348);
    const account = accountFor({ ...query, wanted: undefined, uid: 0, writes: true });
    expect(account).toMatchObject({ uid: 12_347, gid: 12_348, name: undefined });
  });

  test('is nobody for who is an ordinary user', () => {
    const { query } = spoolOf(DAEMON_USER);
    expect(accountFor({ ...query, wanted: undefined, uid: 4_711, writes: true })).toBeUndefined();
  });

  test('the doctor tells whom the daemon would refuse to run as', () => {
    const { lib } = spoolOf(ROOTS);
    const { checks } = JSON.parse(run(['doctor', '--json'], lib).out) as {
      readonly checks: readonly Readonly<Record<string, string>>[];
    };
    expect(checks.find(({ check }) => check === 'user')).toMatchObject({
      state: 'failed',
      says: expect.stringMatching(/ham belongs to root/) as string,
      command: `chown -R kopano:kopano ${lib}`,
    });
  });

  test('is never root by mistake, and root by --user', () => {
    const { lib } = spoolOf(ROOTS);
    const refused = run(['watch', '--once'], lib);
    expect(refused).toMatchObject({ code: 78, out: '' });
    expect(refused.err).toMatch(
      /ham belongs to root.*\ncure: .*--user root\n {2}chown -R kopano:kopano \S+\n$/,
    );
    expect(readdirSync(lib).sort()).toEqual(['ham', 'spam']);
    for (const args of [
      ['--user', 'root', 'watch', '--once'],
      ['watch', '--once', '--user=root'],
      ['--once', '--user', 'root'],
    ]) {
      expect(run(args, lib)).toMatchObject({ code: 0, err: '' });
    }
    expect(statSync(join(lib, '.learnd'))).toMatchObject(ROOTS);
  });

  test('is not known without a folder, and then nothing is made', () => {
    const { lib } = spoolOf(DAEMON_USER, []);
    const { code, err } = run(['watch', '--once'], lib);
    expect(code).toBe(78);
    expect(err).toMatch(/there is no \S+\/ham yet.*\ncure: start kopano-spamd/);
    expect(readdirSync(lib)).toEqual([]);
    expect(run(['status'], lib).code).toBe(0);
  });

  test('a state dir that root made by mistake is given back by a line that can be pasted', () => {
    const { lib, query } = spoolOf(DAEMON_USER);
    mkdirSync(join(query.spool.stateDir, 'queue'), { recursive: true });
    const { code, err } = run(['quarantine', 'list'], lib);
    expect(code).toBe(78);
    const cure = /^cure: .*:\n {2}(.*)$/m.exec(err)?.[1] ?? '';
    expect(spawnSync('sh', ['-c', cure]).status).toBe(0);
    expect(run(['watch', '--once'], lib).code).toBe(0);
  });

  test.each([
    ['nobody-of-that-name', 0, /there is no user nobody-of-that-name/],
    ['--once', 0, /there is no user --once/],
    ['root', 4_711, /only root may run it as root/],
  ])('--user %s is refused for uid %i', (wanted, uid, says) => {
    const { query } = spoolOf(DAEMON_USER);
    expect(() => accountFor({ ...query, wanted, uid, writes: true })).toThrow(says);
  });

  test('is root still for a relearn of what lies elsewhere, and the owner for the archive', () => {
    const { lib } = spoolOf(DAEMON_USER);
    mkdirSync(join(lib, '.learnd/archive/spam'), { recursive: true });
    for (const name of ['.learnd', '.learnd/archive', '.learnd/archive/spam']) {
      chownSync(join(lib, name), DAEMON_USER.uid, DAEMON_USER.gid);
    }
    const elsewhere = join(temporaryFolder(), 'for-root.eml');
    writeFileSync(elsewhere, 'Subject: x\n\nx\n', { mode: 0o600 });
    const own = run(['relearn', '--dry-run', '--spam', elsewhere], lib);
    expect(own).toMatchObject({ code: 0, err: expect.not.stringContaining('runs as') as string });
    const archive = run(['relearn', '--dry-run', join(lib, '.learnd/archive')], lib);
    expect(archive.err).toMatch(/^kopano-learnd: runs as /);
    expect(isInSpool([`${lib}/x/../.learnd/archive`], { libDir: lib, stateDir: '/x' })).toBe(true);
    expect(isInSpool([`${lib}x`], { libDir: lib, stateDir: '/x' })).toBe(false);
  });
});

describe('a container or a checkout that stands in the way', ROOT, () => {
  test('without the right to become somebody else, it says how to start the container', () => {
    const { lib } = spoolOf(DAEMON_USER);
    const rights = ['--bounding-set=-setuid,-setgid', '--inh-caps=-setuid,-setgid'];
    const without = ['setpriv', ...rights, '--', process.execPath];
    const { code, err } = run(['watch', '--once'], lib, without);
    expect(code).toBe(78);
    expect(err).toMatch(
      /may not become uid .*\ncure: in a container start it as that user: --user \d+:\d+/,
    );
  });

  test('a program that this user may not read is named, with where it belongs', () => {
    const { lib } = spoolOf(DAEMON_USER);
    const closed = temporaryFolder();
    chmodSync(closed, 0o700);
    const copy = join(closed, 'learnd.mjs');
    cpSync(program(), copy);
    const { code, err } = run(['watch', '--once'], lib, [process.execPath], copy);
    expect(code).toBe(78);
    expect(err).toMatch(
      /may not read the program: .*learnd\.mjs\ncure: install it where everybody/,
    );
  });
});

test(
  'one SIGTERM ends the daemon in an orderly way, and so does the end of its parent',
  ROOT,
  async () => {
    const { lib } = spoolOf(DAEMON_USER);
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      const parent = spawn(process.execPath, [program(), 'watch'], {
        env: environmentOf(lib),
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      let out = '';
      await new Promise<void>((resolve) => {
        parent.stdout.setEncoding('utf8').on('data', (text: string) => {
          out += text;
          if (out.includes('daemon.owner')) resolve();
        });
      });
      const ended = new Promise<number | null>((resolve) => parent.once('exit', resolve));
      const closed = new Promise((resolve) => parent.once('close', resolve));
      parent.kill(signal);
      expect(await ended).toBe(signal === 'SIGTERM' ? 0 : null);
      await closed;
      expect(out).toContain('daemon.stopped');
    }
  },
);

const BY_ITSELF = "process.kill(process.pid, 'SIGTERM');";

test.each([
  [
    'before its child is there',
    `const { on } = process;
    process.on = (name, callback) => {
      if (name === 'uncaughtException') ${BY_ITSELF}
      return on.call(process, name, callback);
    };`,
  ],
  [
    'before its child listens',
    `import programs from 'node:child_process';
    import { syncBuiltinESMExports } from 'node:module';
    const { spawn } = programs;
    programs.spawn = (...given) => {
      const child = spawn(...given);
      ${BY_ITSELF}
      return child;
    };
    syncBuiltinESMExports();`,
  ],
])('a SIGTERM to the daemon that comes %s ends it, too', ROOT, (_, script) => {
  const { lib } = spoolOf(DAEMON_USER);
  const preload = `data:text/javascript,${encodeURIComponent(script)}`;
  const node = [process.execPath, '--import', preload];
  expect(run(['watch'], lib, node).code).toBe(0);
  expect(run(['watch', '--once'], lib, node).code).toBe(75);
});
