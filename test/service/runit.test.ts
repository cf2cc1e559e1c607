import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, chown, cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { expect, test } from 'vitest';
import { makeMessage } from '../lab/messages.ts';
import { processes } from '../../src/servers/server-process.ts';
import { freePort } from '../../src/servers/ports.ts';
import { describeReal } from '../real/harness.ts';
import { KOPANO, World } from '../real/world.ts';
import { until } from '../support/until.ts';
import { Bundle, projectFile, run } from './bundle.ts';
import { ROOT, needsPrograms } from '../support/needs.ts';

/** `service/runit/kopano-learnd` under a real `runsvdir`, with the bundle as the program. */
class Supervisor {
  readonly service: string;
  readonly #log: string;
  readonly #services: string;
  readonly #bundle: Bundle;
  readonly #environment: Readonly<Record<string, string>>;
  #runsvdir: ChildProcess | undefined;

  private constructor(folder: string, bundle: Bundle) {
    this.#services = join(folder, 'service');
    this.#log = join(folder, 'log');
    this.#bundle = bundle;
    this.service = join(this.#services, 'kopano-learnd');
    // nothing but a PATH with the program: the settings are files
    this.#environment = {
      PATH: [bundle.path('bin'), process.env['PATH']].join(delimiter),
    };
  }

  /** The service as it is delivered, but with a log folder of the test's own, and switched on. */
  static async start(
    folder: string,
    settings: Readonly<Record<string, string>>,
  ): Promise<Supervisor> {
    const supervisor = new Supervisor(folder, await Bundle.make());
    const { service } = supervisor;
    await cp(projectFile('service/runit/kopano-learnd'), service, {
      recursive: true,
    });
    const logRun = await readFile(join(service, 'log/run'), 'utf8');
    await writeFile(
      join(service, 'log/run'),
      logRun.replace('/var/log/kopano-learnd', supervisor.#log),
    );
    await mkdir(join(service, 'env'));
    for (const [name, value] of Object.entries(settings)) await supervisor.set(name, value);
    supervisor.#runsvdir = spawn('runsvdir', ['-P', supervisor.#services], {
      stdio: 'ignore',
      env: supervisor.#environment,
    });
    await until('runsv is there', async () => (await supervisor.state()) !== '');
    return supervisor;
  }

  async set(name: string, value: string): Promise<void> {
    await writeFile(join(this.service, 'env', name), `${value}\n`);
  }

  /** Runs `sv`; rejects when it fails. It would wait seven seconds, which a busy machine takes. */
  async sv(...words: readonly string[]): Promise<string> {
    const env = { ...this.#environment, SVWAIT: '60' };
    const { stdout } = await run('sv', [...words, this.service], { env });
    return stdout;
  }

  /** What `sv status` says; empty while there is no runsv yet. */
  async state(): Promise<string> {
    return this.sv('status').catch(() => '');
  }

  async pid(): Promise<number | undefined> {
    const pid = /^run: .*?\(pid (\d+)\)/.exec(await this.state())?.[1];
    return pid === undefined ? undefined : Number(pid);
  }

  async log(): Promise<string> {
    return readFile(join(this.#log, 'current'), 'utf8').catch(() => '');
  }

  async untilLogged(text: string): Promise<void> {
    await until(`the log says ${text}`, async () => (await this.log()).includes(text));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const runsvdir = this.#runsvdir;
    if (runsvdir !== undefined) {
      const ended = once(runsvdir, 'exit');
      const supervisors = processes().flatMap(({ pid, parent }) =>
        parent === runsvdir.pid ? [pid] : [],
      );
      runsvdir.kill('SIGTERM'); // leaves its runsv processes alone
      await ended;
      for (const pid of supervisors) process.kill(pid, 'SIGTERM');
      await until('runsv and its services are gone', () => {
        return supervisors.every((pid) => !existsSync(`/proc/${pid}`));
      });
    }
    await this.#bundle[Symbol.asyncDispose]();
  }
}

/** A number in a line of `/proc/PID/status`. */
async function idOf(pid: number, line: 'Uid' | 'Gid'): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${line}:\\s+(\\d+)`, 'm').exec(status)?.[1]);
}

// chpst needs root
const needed = { ...ROOT, ...needsPrograms('runsvdir', 'sv') };

describeReal('the runit service', () => {
  test(
    'runs as the folders’ owner, is not well while it hangs, and starts, stops, restarts and comes back',
    needed,
    async () => {
      await using world = await World.make();
      await using supervisor = await Supervisor.start(world.folder, {
        KOPANO_SPAMD_LIB: world.lib,
        RSPAMD_URL: world.rspamd.url,
        STATUS_LISTEN: `127.0.0.1:${await freePort()}`,
      });
      await supervisor.untilLogged('"event":"daemon.owner"');
      const pid = (await supervisor.pid()) ?? 0;
      expect([await idOf(pid, 'Uid'), await idOf(pid, 'Gid')]).toEqual([KOPANO.uid, KOPANO.gid]);
      await world.judge(makeMessage('spam', 1));
      await world.untilDone();
      expect(await supervisor.sv('check')).toMatch(/^ok: run: /);

      process.kill(pid, 'SIGSTOP');
      try {
        await expect(supervisor.sv('-w', '3', 'check')).rejects.toMatchObject({
          stdout: expect.stringMatching(/^timeout: /) as string,
        });
      } finally {
        process.kill(pid, 'SIGCONT');
      }
      expect(await supervisor.sv('check')).toMatch(/^ok: run: /);

      expect(await supervisor.sv('stop')).toMatch(/^ok: down/);
      await supervisor.untilLogged('"event":"daemon.stopped"');

      await world.judge(makeMessage('spam', 2));
      expect(world.waiting).toHaveLength(1);
      expect(await supervisor.sv('up')).toBe('');
      await world.untilDone();
      expect(await supervisor.sv('check')).toMatch(/^ok: run: /);

      for (const command of ['restart', 'kill']) {
        const old = await supervisor.pid();
        await supervisor.sv(command);
        await until(`another process runs after ${command}`, async () => {
          const now = await supervisor.pid();
          return now !== undefined && now !== old;
        });
      }
      await world.judge(makeMessage('spam', 3));
      await world.untilDone();
      expect((await world.redis.bayesCounts()).spam).toBe(3);
      expect(await world.forgotten()).toEqual([]);
    },
  );

  test(
    'does not start again and again with a wrong setting or as an unknown user',
    needed,
    async () => {
      await using world = await World.make();
      await using supervisor = await Supervisor.start(world.folder, {
        KOPANO_SPAMD_LIB: world.lib,
        LEARN_AFTER: 'burn',
        STATUS_LISTEN: 'off',
      });
      const untilRested = (): Promise<void> =>
        until('it has rested for four seconds', async () =>
          /^finish: .*\) ([4-9]|\d{2,})s/.test(await supervisor.state()),
        );
      await untilRested();
      expect((await supervisor.log()).split('a setting is wrong')).toHaveLength(2);

      expect(await supervisor.sv('stop')).toMatch(/^ok: down/);
      await supervisor.set('LEARN_AFTER', 'archive');
      expect(await supervisor.sv('start')).toMatch(/^ok: run: /);
      await supervisor.untilLogged('"event":"daemon.owner"');

      await writeFile(join(supervisor.service, 'user'), 'nobody-of-that-name\n');
      await supervisor.sv('term');
      await supervisor.untilLogged('unknown user');
      await untilRested();
      expect((await supervisor.log()).split('unknown user')).toHaveLength(2);
    },
  );

  test(
    'asks for a user where root owns the folders, and runs as the one in ./user',
    needed,
    async () => {
      await using world = await World.make();
      for (const folder of ['', 'spam', 'ham']) await chown(join(world.lib, folder), 0, 0);
      await using supervisor = await Supervisor.start(world.folder, {
        KOPANO_SPAMD_LIB: world.lib,
        LEARN_STATE_DIR: join(world.folder, 'state'),
        STATUS_LISTEN: 'off',
      });
      await supervisor.untilLogged(`${world.lib}/ham belongs to root`);
      expect(await supervisor.sv('stop')).toMatch(/^ok: down/);

      for (const folder of ['spam', 'ham']) await chmod(join(world.lib, folder), 0o2777);
      await mkdir(join(world.folder, 'state'));
      await chown(join(world.folder, 'state'), 23_460, 23_461);
      await writeFile(join(supervisor.service, 'user'), ':23460:23461\n');
      expect(await supervisor.sv('start')).toMatch(/^ok: run: /);
      await supervisor.untilLogged('"event":"daemon.owner"');
      const pid = (await supervisor.pid()) ?? 0;
      expect([await idOf(pid, 'Uid'), await idOf(pid, 'Gid')]).toEqual([23_460, 23_461]);
    },
  );
});
