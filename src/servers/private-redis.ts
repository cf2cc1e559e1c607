/**
 * A Redis server of our own: a folder of its own, a free loopback port, nobody else's data.
 *
 * Always either running (perhaps frozen) or stopped; folder and port stay the same over any number
 * of stops and starts, and the folder goes with the disposal.
 */
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, LOOPBACK } from './ports.ts';
import { PrivateServer } from './private-server.ts';
import { redisCommand, type RedisReply } from './redis-client.ts';
import type { ServerCommand } from './server-process.ts';

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

export class PrivateRedis extends PrivateServer {
  readonly host = LOOPBACK;
  readonly port: number;
  protected readonly label = 'Redis';
  protected readonly startTimeoutMs = 10_000;
  readonly #options: PrivateRedisOptions;

  private constructor(folder: string, port: number, options: PrivateRedisOptions) {
    super(folder);
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

  protected serverCommand(): Omit<ServerCommand, 'cwd'> {
    return {
      program: this.#options.program ?? 'redis-server',
      args: this.#arguments(),
      outputFile: join(this.folder, 'redis.log'),
    };
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

  protected async answers(): Promise<boolean> {
    try {
      return (await redisCommand(this, ['PING'], 1_000)) === 'PONG';
    } catch {
      return false;
    }
  }
}
