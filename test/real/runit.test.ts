import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { makeMessage } from '../../src/lab/messages.ts';
import { compiled, describeReal } from './harness.ts';
import { World, until } from './world.ts';

const run = promisify(execFile);

/** A real `runsvdir` over a folder with the daemon as its only service. */
class Supervisor {
  readonly #services: string;
  readonly #log: string;
  #runsvdir: ChildProcess | undefined;

  constructor(folder: string) {
    this.#services = join(folder, 'service');
    this.#log = join(folder, 'service.log');
  }

  async start(settings: Readonly<Record<string, string>>): Promise<void> {
    const service = join(this.#services, 'learnd');
    await mkdir(service, { recursive: true });
    const exports = Object.entries(settings).map(([name, value]) => `export ${name}='${value}'`);
    const script = `#!/bin/sh\n${exports.join('\n')}\nexec '${process.execPath}' '${compiled('main.js')}' >>'${this.#log}' 2>&1\n`;
    await writeFile(join(service, 'run'), script);
    await chmod(join(service, 'run'), 0o755);
    this.#runsvdir = spawn('runsvdir', ['-P', this.#services], { stdio: 'ignore' });
    await until('the service is up', 10_000, async () => (await this.pid()) !== undefined);
  }

  async sv(...words: readonly string[]): Promise<string> {
    const { stdout } = await run('sv', [...words, join(this.#services, 'learnd')]);
    return stdout;
  }

  async pid(): Promise<number | undefined> {
    const status = await this.sv('status').catch(() => '');
    const pid = /^run: .*\(pid (\d+)\)/.exec(status)?.[1];
    return pid === undefined ? undefined : Number(pid);
  }

  /** How often an event was logged. */
  async count(event: string): Promise<number> {
    const log = await readFile(this.#log, 'utf8').catch(() => '');
    return log.split('\n').filter((line) => line.includes(`"event":"${event}"`)).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const runsvdir = this.#runsvdir;
    if (runsvdir === undefined) return;
    const ended = once(runsvdir, 'exit');
    const { stdout } = await run('pgrep', ['-P', String(runsvdir.pid)]);
    const supervisors = stdout.trim().split('\n').map(Number);
    runsvdir.kill('SIGTERM'); // leaves its runsv processes alone, so that none is started again
    await ended;
    for (const pid of supervisors) process.kill(pid, 'SIGTERM');
    await until('runsv and its service are gone', 10_000, () => {
      return supervisors.every((pid) => !existsSync(`/proc/${pid}`));
    });
  }
}

describeReal('under runit', () => {
  it('starts, stops, restarts and comes back after a crash', { timeout: 90_000 }, async () => {
    await using world = await World.make();
    await using supervisor = new Supervisor(world.folder);
    await supervisor.start({
      KOPANO_SPAMD_LIB: world.lib,
      RSPAMD_URL: world.rspamd.url,
      STATUS_LISTEN: 'off',
    });
    await world.judge(makeMessage('spam', 1));
    await world.untilDone(15_000);

    const stopped = performance.now();
    expect(await supervisor.sv('stop')).toMatch(/^ok: down/);
    expect(performance.now() - stopped).toBeLessThan(7_000);
    expect(await supervisor.count('daemon.stopped')).toBe(1);

    await world.judge(makeMessage('spam', 2));
    expect(await world.waiting()).toHaveLength(1);
    await supervisor.sv('up');
    await world.untilDone(15_000);

    for (const command of ['restart', 'kill']) {
      const before = await supervisor.pid();
      await supervisor.sv(command);
      await until(`another process runs after ${command}`, 10_000, async () => {
        const pid = await supervisor.pid();
        return pid !== undefined && pid !== before;
      });
    }
    await world.judge(makeMessage('spam', 3));
    await world.untilDone(15_000);
    expect((await world.redis.bayesCounts()).spam).toBe(3);
    expect(await world.forgotten()).toEqual([]);
  });
});
