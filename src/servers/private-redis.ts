/**
 * A Redis server of our own: a folder of its own, a free loopback port, nobody else's data.
 *
 * Always either running (perhaps frozen) or stopped; folder and port stay the same over any number
 * of stops and starts, and the folder goes with the disposal.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, LOOPBACK } from './ports.ts';
import { redisCommand, type RedisReply } from './redis-client.ts';
import { ServerProcess } from './server-process.ts';

const START_TIMEOUT_MS = 10_000;

/** How to start a private Redis; every field has a default. */
export interface PrivateRedisOptions {
  /**
   * `none` forgets everything at a stop; `always` writes each command to disk before it answers
   * (`appendonly yes`, `appendfsync always`), so nothing answered is lost at a SIGKILL.
   *
   * @defaultValue 'none'
   */
  readonly persistence?: 'none' | 'always';
  /** The server's path or name. @defaultValue 'redis-server' */
  readonly program?: string;
  /** Where its folder is made. @defaultValue the system's folder for temporary files */
  readonly parentFolder?: string;
  /** More arguments for the server, such as `['--maxmemory', '100mb']`. @defaultValue none */
  readonly settings?: readonly string[];
}

/** What rspamd's Bayes has learned, as its key in Redis says. */
export interface BayesCounts {
  readonly spam: number;
  readonly ham: number;
}

export class PrivateRedis {
  readonly host = LOOPBACK;
  readonly port: number;
  readonly folder: string;
  readonly #options: PrivateRedisOptions;
  #process: ServerProcess | undefined;

  private constructor(folder: string, port: number, options: PrivateRedisOptions) {
    this.folder = folder;
    this.port = port;
    this.#options = options;
  }

  /** Starts a new server; resolves when it answers PING. */
  static async start(options: PrivateRedisOptions = {}): Promise<PrivateRedis> {
    const folder = await mkdtemp(join(options.parentFolder ?? tmpdir(), 'learnd-redis-'));
    const redis = new PrivateRedis(folder, await freePort(), options);
    try {
      await redis.start();
    } catch (error) {
      await redis[Symbol.asyncDispose]();
      throw error;
    }
    return redis;
  }

  get running(): boolean {
    return this.#process?.running ?? false;
  }

  /** The server's process id, or undefined while it is stopped. */
  get pid(): number | undefined {
    return this.running ? this.#process?.pid : undefined;
  }

  /** Starts the stopped server again on the same port and folder. */
  async start(): Promise<void> {
    if (this.running) throw new Error('this Redis is running already');
    const server = await ServerProcess.start({
      program: this.#options.program ?? 'redis-server',
      args: this.#arguments(),
      cwd: this.folder,
      outputFile: join(this.folder, 'redis.log'),
    });
    this.#process = server;
    await server.untilUp(() => this.#answers(), START_TIMEOUT_MS);
  }

  /**
   * Sends one command, such as `command('HGETALL', 'RS')`.
   *
   * @throws RedisError when Redis answers with an error
   */
  async command(...args: readonly string[]): Promise<RedisReply> {
    return redisCommand(this, args);
  }

  /** How many messages rspamd's Bayes has learned of each class; zeros before the first one. */
  async bayesCounts(): Promise<BayesCounts> {
    const reply = await this.command('HMGET', 'RS', 'learns_spam', 'learns_ham');
    if (!Array.isArray(reply)) throw new Error('HMGET did not answer with a list');
    return { spam: Number(reply[0] ?? 0), ham: Number(reply[1] ?? 0) };
  }

  /** SIGTERM, SIGKILL after three seconds; resolves when the process is gone. Idempotent. */
  async stop(): Promise<void> {
    await this.#process?.stop();
    this.#process = undefined;
  }

  /** SIGKILL; resolves when the process is gone. */
  async kill(): Promise<void> {
    await this.#process?.kill();
    this.#process = undefined;
  }

  /** SIGSTOP: connections are still accepted (by the kernel), answers don't come. */
  freeze(): void {
    this.#process?.signalGroup('SIGSTOP');
  }

  /** SIGCONT after {@link freeze}. */
  resume(): void {
    this.#process?.signalGroup('SIGCONT');
  }

  /** Stops the server and removes its folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  #arguments(): readonly string[] {
    const append = this.#options.persistence === 'always' ? 'yes' : 'no';
    return [
      ...['--port', String(this.port), '--bind', this.host, '--dir', this.folder],
      // snapshots would come at moments that nobody chose
      ...['--save', '', '--appendonly', append, '--appendfsync', 'always'],
      ...['--daemonize', 'no', ...(this.#options.settings ?? [])],
    ];
  }

  async #answers(): Promise<boolean> {
    try {
      return (await redisCommand(this, ['PING'], 1_000)) === 'PONG';
    } catch {
      return false;
    }
  }
}
