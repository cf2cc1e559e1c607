import { mkdtempSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PrivateRedis } from '../../src/servers/private-redis.ts';
import type { PrivateRspamd, PrivateRspamdOptions } from '../../src/servers/private-rspamd.ts';
import { learningPost } from '../../src/trainers/classes.ts';
import type { Verdict } from '../../src/verdict.ts';
import { KopanoWriterProcess } from '../lab/kopano-writer.ts';
import type { WriteOrder, WriteOutcome } from '../lab/kopano-writer.ts';
import type { MadeMessage } from '../lab/messages.ts';
import { DaemonSpool } from '../support/daemon-spool.ts';
import { secondFolder, writerProgram } from '../support/run.ts';
import { borrowServers, end, returnServers, startRedis, startRspamd } from './harness.ts';

/** kopano-spamd's user and its `sa_group`, as numbers that no real user has. */
export const KOPANO = { uid: 23_451, gid: 23_452 };

/** With neither of the first four the servers are borrowed ones. */
interface WorldOptions {
  readonly persistence?: 'none' | 'always';
  readonly rspamd?: Partial<PrivateRspamdOptions>;
  /** The server that Bayes learns into. @defaultValue the installed Redis */
  readonly store?: string;
  /** Controllers that share the Redis. */
  readonly controllers?: number;
  /** The state dir lies on another file system than the spool. */
  readonly elsewhere?: boolean;
  /** Where it lies below the world's folder. @defaultValue in the spool */
  readonly stateDir?: string;
}

interface Servers {
  readonly redis: PrivateRedis;
  readonly rspamds: readonly PrivateRspamd[];
  readonly dispose: () => Promise<void>;
}

/** One for all worlds of this worker. */
let writer: KopanoWriterProcess | undefined;

/**
 * A whole little mail server: a spool with Kopano's permissions, a writer with a user and a group
 * of its own, Redis, rspamd, and the daemons.
 */
export class World extends DaemonSpool {
  readonly redis: PrivateRedis;
  readonly rspamds: readonly PrivateRspamd[];
  readonly #servers: Servers;

  private constructor(servers: Servers, { elsewhere, stateDir, rspamd }: WorldOptions) {
    super({
      stateDir: elsewhere === true ? mkdtempSync(join(secondFolder(), 'learnd-state-')) : stateDir,
      classes: rspamd?.classes ?? [],
      owner: KOPANO,
      settings: {
        RSPAMD_URL: servers.rspamds.map(({ url }) => url).join(','),
        STATUS_LISTEN: 'off',
        SHUTDOWN_SECONDS: '2',
      },
    });
    this.redis = servers.redis;
    this.rspamds = servers.rspamds;
    this.#servers = servers;
  }

  static async make(options: WorldOptions = {}): Promise<World> {
    const world = new World(await serversFor(options), options);
    await chmod(world.folder, 0o755);
    return world;
  }

  get rspamd(): PrivateRspamd {
    const [first] = this.rspamds;
    if (first === undefined) throw new Error('this world has no rspamd');
    return first;
  }

  override write(order: WriteOrder): Promise<WriteOutcome> {
    writer ??= new KopanoWriterProcess(writerProgram(), tmpdir(), KOPANO);
    return writer.write({ ...order, lib: this.lib });
  }

  /** What rspamd itself says of a message: the status of posting it again. */
  async status(message: MadeMessage, verdict: Verdict, rspamd = this.rspamd): Promise<number> {
    const { path, headers } = learningPost(verdict);
    const all = { 'Learn-Type': 'bulk', ...headers };
    return (await rspamd.post(`/${path}`, message.raw, all)).status;
  }

  /** Names whose last verdict rspamd doesn't remember (posting it is not answered 208). */
  async forgotten(): Promise<readonly string[]> {
    const names: string[] = [];
    for (const [name, { message, verdict }] of this.sent) {
      const status = await this.status(message, verdict);
      if (status !== 208) names.push(`${name} as ${verdict}: ${status}`);
    }
    return names;
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await super[Symbol.asyncDispose]();
    await this.#servers.dispose();
  }
}

async function serversFor(options: WorldOptions): Promise<Servers> {
  const { persistence, store, controllers = 1 } = options;
  const isPlain = [persistence, store, options.rspamd].every((each) => each === undefined);
  if (isPlain && controllers === 1) {
    const borrowed = await borrowServers();
    const { redis, rspamd } = borrowed;
    return { redis, rspamds: [rspamd], dispose: () => returnServers(borrowed) };
  }
  const redis = await startRedis({
    ...(persistence && { persistence }),
    ...(store && { program: store }),
  });
  const rspamds: PrivateRspamd[] = [];
  for (let i = 0; i < controllers; i += 1) {
    rspamds.push(await startRspamd({ redisPort: redis.port, ...options.rspamd }));
  }
  return { redis, rspamds, dispose: () => end(...rspamds, redis) };
}
