import { existsSync } from 'node:fs';
import { chmod, chown, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Daemon } from '../lab/daemon.ts';
import type { Settings } from '../lab/daemon.ts';
import { KopanoWriterProcess } from '../lab/kopano-writer.ts';
import { makeMessage } from '../lab/messages.ts';
import type { MadeMessage } from '../lab/messages.ts';
import { learningPost } from '../../src/trainers/classes.ts';
import { VERDICTS } from '../../src/verdict.ts';
import type { Verdict } from '../../src/verdict.ts';
import type { WriteOrder, WriteOutcome } from '../lab/kopano-writer.ts';
import type { PrivateRedis } from '../../src/servers/private-redis.ts';
import type { PrivateRspamd, PrivateRspamdOptions } from '../../src/servers/private-rspamd.ts';
import { borrowServers, end, returnServers, startRedis, startRspamd } from './harness.ts';
import { startHere } from '../support/daemon-here.ts';
import { asOneself, program, writerProgram, secondFolder } from '../support/run.ts';

/**
 * A whole little mail server: a spool with Kopano's permissions, a writer with a user and a group
 * of its own, Redis, rspamd, and the built daemon as a child process.
 */
/** kopano-spamd's user and its `sa_group`, as numbers that no real user has. */
export const KOPANO = { uid: 23_451, gid: 23_452 };

/** With neither of the first four the servers are borrowed ones. */
export interface WorldOptions {
  readonly persistence?: 'none' | 'always';
  readonly rspamd?: Partial<PrivateRspamdOptions>;
  /** The server that Bayes learns into. @defaultValue the installed Redis */
  readonly store?: string;
  /** Controllers that share the Redis. */
  readonly controllers?: number;
  /** The state dir lies on another file system than the spool. */
  readonly elsewhere?: boolean;
}

export interface Sent {
  readonly message: MadeMessage;
  verdict: Verdict;
}

interface Servers {
  readonly redis: PrivateRedis;
  readonly rspamds: readonly PrivateRspamd[];
  readonly dispose: () => Promise<void>;
}

/** One for all worlds of this worker. */
let writer: KopanoWriterProcess | undefined;

export class World {
  readonly folder: string;
  readonly lib: string;
  readonly stateDir: string;
  /** All classes, each with its folder. */
  readonly verdicts: readonly Verdict[];
  readonly redis: PrivateRedis;
  readonly rspamds: readonly PrivateRspamd[];
  readonly daemons: Daemon[] = [];
  /** The last verdict of every name that was written. */
  readonly sent = new Map<string, Sent>();
  writerErrors = 0;
  readonly #servers: Servers;

  private constructor(
    folder: string,
    servers: Servers,
    elsewhere: string | undefined,
    classes: readonly Verdict[] = [],
  ) {
    this.folder = folder;
    this.verdicts = [...VERDICTS, ...classes];
    this.lib = join(folder, 'spamd');
    this.stateDir = elsewhere ?? join(this.lib, '.learnd');
    this.redis = servers.redis;
    this.rspamds = servers.rspamds;
    this.#servers = servers;
  }

  static async make(options: WorldOptions = {}): Promise<World> {
    const folder = await mkdtemp(join(tmpdir(), 'learnd-world-'));
    await chmod(folder, 0o755);
    const servers = await serversFor(options);
    const elsewhere =
      options.elsewhere === true ? await mkdtemp(join(secondFolder(), 'learnd-state-')) : undefined;
    const world = new World(folder, servers, elsewhere, options.rspamd?.classes);
    await world.makeSpool();
    return world;
  }

  get rspamd(): PrivateRspamd {
    const [first] = this.rspamds;
    if (first === undefined) throw new Error('this world has no rspamd');
    return first;
  }

  get daemon(): Daemon {
    const last = this.daemons.at(-1);
    if (last === undefined) throw new Error('no daemon was started');
    return last;
  }

  /** The folders as kopano-spamd has them: owner kopano, mode 0755. */
  async makeSpool(): Promise<void> {
    const folders = this.verdicts.map((verdict) => join(this.lib, verdict));
    for (const folder of [this.lib, ...folders]) {
      await mkdir(folder, { recursive: true });
      await chown(folder, KOPANO.uid, KOPANO.gid);
      await chmod(folder, 0o755);
    }
  }

  /** Starts a daemon in this process. */
  startDaemon(settings: Settings = {}, args: readonly string[] = []): Daemon {
    return this.#keep(startHere(['watch', ...args], this.#with(settings)));
  }

  /** Starts the built program. */
  async spawnDaemon(settings: Settings = {}): Promise<Daemon> {
    const command = [process.execPath, program(), ...asOneself(), 'watch'];
    return this.#keep(await Daemon.spawn(command, this.#with(settings)));
  }

  #with(settings: Settings): Settings {
    return {
      KOPANO_SPAMD_LIB: this.lib,
      RSPAMD_URL: this.rspamds.map(({ url }) => url).join(','),
      LEARN_STATE_DIR: this.stateDir,
      STATUS_LISTEN: 'off',
      SHUTDOWN_SECONDS: '2',
      ...settings,
    };
  }

  #keep(daemon: Daemon): Daemon {
    this.daemons.push(daemon);
    return daemon;
  }

  /** Writes as kopano-spamd does. */
  write(order: WriteOrder): Promise<WriteOutcome> {
    writer ??= new KopanoWriterProcess(writerProgram(), tmpdir(), KOPANO);
    return writer.write({ ...order, lib: this.lib });
  }

  /** Writes a verdict as kopano-spamd does, and remembers it as the latest. */
  async judge(message: MadeMessage, verdict: Verdict = message.verdict): Promise<void> {
    this.sent.set(message.name, { message, verdict });
    const outcome = await this.write({ verdict, name: message.name, body: message.raw });
    if (outcome.kind !== 'written') this.writerErrors += 1;
  }

  /** Writes made messages at a steady pace. */
  async judgeMany(count: number, perSecond: number, firstSeed = 0): Promise<void> {
    const start = performance.now();
    for (let i = 0; i < count; i += 1) {
      await sleep(Math.max(0, start + (i * 1000) / perSecond - performance.now()));
      await this.judge(makeMessage(i % 2 === 0 ? 'spam' : 'ham', firstSeed + i));
    }
  }

  async filesIn(place: string): Promise<readonly string[]> {
    const folder = place.startsWith('.learnd/')
      ? join(this.stateDir, place.slice('.learnd/'.length))
      : join(this.lib, place);
    if (!existsSync(folder)) return [];
    const files = await readdir(folder);
    return files.filter((name) => !name.startsWith('.') || name.startsWith('.learnd-'));
  }

  /** Files in the drop directory and the queue. */
  async waiting(): Promise<readonly string[]> {
    const places = [
      ...this.verdicts,
      ...this.verdicts.map((verdict) => `.learnd/queue/${verdict}`),
    ];
    const lists = await Promise.all(places.map((place) => this.filesIn(place)));
    return lists.flatMap((files, index) => files.map((file) => `${places[index] ?? ''}/${file}`));
  }

  async quarantined(): Promise<readonly string[]> {
    return [
      ...(await this.filesIn('.learnd/quarantine/spam')),
      ...(await this.filesIn('.learnd/quarantine/ham')),
    ];
  }

  /** Waits until nothing waits any more. */
  async untilDone(timeoutMs: number): Promise<void> {
    await until('everything learned', timeoutMs, async () => (await this.waiting()).length === 0);
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

  async [Symbol.asyncDispose](): Promise<void> {
    for (const daemon of this.daemons) await daemon.kill();
    await this.#servers.dispose();
    await rm(this.folder, { recursive: true, force: true });
    await rm(this.stateDir, { recursive: true, force: true });
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

/** Waits for a condition that no event tells. */
export async function until(
  what: string,
  timeoutMs: number,
  isSo: () => boolean | Promise<boolean>,
): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await sleep(25);
  }
}
