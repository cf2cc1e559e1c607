import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeMessage, makeMessages, tooShortMessage } from '../lab/messages.ts';
import type { PrivateRspamd } from '../../src/servers/private-rspamd.ts';
import { PrivateServer, startServer } from '../../src/servers/private-server.ts';
import { groupIsAlive } from '../../src/servers/server-process.ts';
import {
  describeReal,
  startRedis,
  startRspamd,
  startServers,
  type RealServers,
} from '../real/harness.ts';

async function learn(rspamd: PrivateRspamd, seed: number, password?: string): Promise<number> {
  const headers = password === undefined ? {} : { Password: password };
  const { status } = await rspamd.post('/learnspam', makeMessage('spam', seed).raw, {
    'Learn-Type': 'bulk',
    ...headers,
  });
  return status;
}

describeReal('a private Redis', () => {
  test('with persistence keeps what it answered over SIGKILL; without it forgets at a stop', async () => {
    const long = 'ä'.repeat(300_000);
    for (const [persistence, expected] of [
      ['always', long],
      ['none', null],
    ] as const) {
      await using redis = await startRedis({ persistence });
      await redis.command('SET', 'key', long);
      await redis.kill();
      await redis.start();
      expect(await redis.command('GET', 'key')).toBe(expected);
    }
  });

  test('answers lists and numbers, throws its errors, and leaves no folder', async () => {
    const redis = await startRedis();
    const script = 'return {1, {"two", false}}';
    expect(await redis.command('EVAL', script, '0')).toEqual([1, ['two', null]]);
    await expect(redis.command('NONSENSE')).rejects.toThrow(/unknown command/);
    await redis[Symbol.asyncDispose]();
    await expect(access(redis.folder)).rejects.toThrow('ENOENT');
  });
});

describeReal('a private rspamd', () => {
  let servers: RealServers;

  beforeAll(async () => {
    servers = await startServers();
  });

  afterAll(async () => {
    await servers[Symbol.asyncDispose]();
  });

  test('learns into the Redis that it was given, and knows what it learned', async () => {
    const { rspamd, redis } = servers;
    const before = await redis.bayesCounts();
    expect(await learn(rspamd, 1)).toBe(200);
    expect(await redis.bayesCounts()).toEqual({ ...before, spam: before.spam + 1 });
    await expect.poll(() => learn(rspamd, 1)).toBe(208);
  });

  test('takes no made message for another, and knows them when they come again', async () => {
    const { rspamd, redis } = servers;
    const before = await redis.bayesCounts();
    const messages = [...makeMessages('spam', 100, 1_000), ...makeMessages('ham', 100, 1_000)];
    const learnAll = async (): Promise<readonly number[]> => {
      const statuses: number[] = [];
      for (const { verdict, raw } of messages) {
        const reply = await rspamd.post(`/learn${verdict}`, raw, { 'Learn-Type': 'bulk' });
        statuses.push(reply.status);
      }
      return statuses;
    };
    expect(new Set(await learnAll())).toEqual(new Set([200]));
    expect(await redis.bayesCounts()).toEqual({ spam: before.spam + 100, ham: before.ham + 100 });
    // rspamd 3.4 may have stored a few without remembering them, just after its start
    expect((await learnAll()).filter((status) => status === 208).length).toBeGreaterThan(190);
  });

  test('refuses a message that is too short', async () => {
    const reply = await servers.rspamd.post('/learnspam', tooShortMessage().raw);
    expect([reply.status, reply.reason]).toEqual([204, expect.stringContaining('less tokens')]);
  });

  test('keeps its ports over a restart, with other processes', async () => {
    const { rspamd } = servers;
    const first = rspamd.workers();
    await rspamd.restart();
    const second = rspamd.workers();
    const controllers = [first, second].flat().filter(({ kind }) => kind === 'controller');
    expect(new Set(controllers.map(({ pid }) => pid)).size).toBe(2);
    expect([200, 208]).toContain(await learn(rspamd, 2));
  });

  test('is silent while it is frozen and carries out what it was sent once it is resumed', async () => {
    const { rspamd, redis } = servers;
    const before = await redis.bayesCounts();
    rspamd.freeze();
    const answer = learn(rspamd, 3);
    const early = await Promise.race([
      answer,
      new Promise((wake) => setTimeout(wake, 300, 'none')),
    ]);
    expect(early).toBe('none');
    rspamd.resume();
    expect(await answer).toBe(200);
    expect((await redis.bayesCounts()).spam).toBe(before.spam + 1);
  });

  test('gets a new controller worker when that is killed', async () => {
    const { rspamd } = servers;
    rspamd.killWorker();
    await expect.poll(() => learn(rspamd, 4).catch(() => 0), { timeout: 10_000 }).toBe(200);
  });
});

describeReal('a private rspamd with options of its own', () => {
  test('asks loopback for the enable password when nobody is trusted', async () => {
    await using servers = await startServers({
      rspamd: { secureIp: [], password: 'reading', enablePassword: 'learning' },
    });
    expect(await learn(servers.rspamd, 1)).toBe(401);
    expect(await learn(servers.rspamd, 1, 'reading')).toBe(401);
    expect(await learn(servers.rspamd, 1, 'learning')).toBe(200);
  });

  test('without a Redis has no Bayes backend', async () => {
    await using rspamd = await startRspamd({ redisPort: null });
    expect([204, 404]).toContain(await learn(rspamd, 1));
  });

  test('stops although it is frozen, with all its workers, and leaves no folder', async () => {
    const servers = await startServers({ rspamd: { controllerWorkers: 2, unixSocket: true } });
    await access(servers.rspamd.socketPath);
    const controllers = (): number =>
      servers.rspamd.workers().filter(({ kind }) => kind === 'controller').length;
    await expect.poll(controllers, { timeout: 60_000 }).toBe(2);
    const group = servers.rspamd.pid;
    expect(groupIsAlive(group ?? 0)).toBe(true);
    servers.rspamd.freeze();
    await servers[Symbol.asyncDispose]();
    expect(groupIsAlive(group ?? 0)).toBe(false);
    await expect(access(servers.rspamd.folder)).rejects.toThrow('ENOENT');
  });
});

describe('a server whose port is taken before it listens', () => {
  class Clumsy extends PrivateServer {
    readonly #script: string;

    constructor(folder: string, script: string) {
      super(folder);
      this.#script = script;
    }

    protected serverCommand() {
      const args = ['-c', this.#script];
      return { program: '/bin/sh', args, outputFile: join(this.folder, 'log') };
    }

    protected async answers(): Promise<boolean> {
      return (await readFile(join(this.folder, 'log'), 'utf8')) === 'ready\n';
    }
  }

  const TAKEN = 'echo "cannot listen on 127.0.0.1:1: Address already in use"; exit 1';
  const READY = 'echo ready; exec sleep 60';

  function started(scripts: string[]) {
    const folders: string[] = [];
    const server = startServer({}, (folder) => {
      folders.push(folder);
      return Promise.resolve(new Clumsy(folder, scripts.shift() ?? READY));
    });
    return { folders, server };
  }

  test('is made again, with other ports, and leaves no folder', async () => {
    const { folders, server } = started([TAKEN, TAKEN, READY]);
    await using running = await server;
    expect(running.folder).toBe(folders[2]);
    await expect(access(folders[0] ?? '')).rejects.toThrow('ENOENT');
  });

  test('is given up after three tries, and at once when it is something else', async () => {
    const taken = started([TAKEN, TAKEN, TAKEN]);
    await expect(taken.server).rejects.toThrow(/already in use/);
    expect(taken.folders).toHaveLength(3);
    const other = started(['echo no memory; exit 1']);
    await expect(other.server).rejects.toThrow(/no memory/);
    expect(other.folders).toHaveLength(1);
  });
});
