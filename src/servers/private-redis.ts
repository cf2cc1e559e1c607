/** A private Redis on a free loopback port, with nobody else's data, and one command at a time. */
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { freePort, LOOPBACK } from './ports.ts';
import { PrivateServer, startServer } from './private-server.ts';
import type { PrivateServerOptions } from './private-server.ts';
import type { ServerCommand } from './server-process.ts';

export interface PrivateRedisOptions extends PrivateServerOptions {
  /**
   * `none` forgets everything at a stop; `always` writes each command to disk before it answers, so
   * that nothing answered is lost at a SIGKILL.
   *
   * @defaultValue 'none'
   */
  readonly persistence?: 'none' | 'always';
  /** Whoever doesn't say it is refused. @defaultValue everybody on this machine may do anything */
  readonly password?: string;
  /** Further lines of its configuration. */
  readonly settings?: readonly string[];
  /** It is a sentinel, which holds no data. */
  readonly isSentinel?: boolean;
}

/** What rspamd's Bayes has learned, as its key in Redis says. */
export interface BayesCounts {
  readonly spam: number;
  readonly ham: number;
}

type RedisReply = string | number | null | readonly RedisReply[];

/** A silent Redis (frozen, busy) is given up after this long. */
const SILENCE_MS = 5_000;

export class PrivateRedis extends PrivateServer {
  readonly port: number;
  readonly #options: PrivateRedisOptions;

  private constructor(folder: string, port: number, options: PrivateRedisOptions) {
    super(folder, options.runAs);
    this.port = port;
    this.#options = options;
  }

  /** Starts a new server; resolves when it answers PING. */
  static start(options: PrivateRedisOptions = {}): Promise<PrivateRedis> {
    return startServer(options, async (folder) => {
      const redis = new PrivateRedis(folder, await freePort(), options);
      // A command line is seen by everybody.
      await writeFile(join(folder, CONFIG), redis.#config(), { mode: 0o600 });
      return redis;
    });
  }

  /**
   * Sends one command, such as `command('HGETALL', 'RS')`, over a connection of its own.
   * @throws when Redis answers with an error, with its words
   */
  async command(...args: readonly string[]): Promise<RedisReply> {
    const socket = connect(this.port, LOOPBACK);
    socket.setTimeout(SILENCE_MS, () => {
      socket.destroy(new Error(`Redis was silent for ${SILENCE_MS} ms`));
    });
    const { password } = this.#options;
    const commands = [...(password === undefined ? [] : [['AUTH', password]]), args];
    socket.write(commands.map(written).join(''));
    let left = commands.length;
    let received = Buffer.alloc(0);
    // The end of the loop closes the connection.
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      received = Buffer.concat([received, chunk]);
      for (let parsed = parseReply(received, 0); parsed; parsed = parseReply(received, 0)) {
        const [reply, next] = parsed;
        if (reply instanceof Error) throw reply;
        left -= 1;
        if (left === 0) return reply;
        received = received.subarray(next);
      }
    }
    throw new Error('Redis closed the connection without an answer');
  }

  /** How many messages rspamd's Bayes has learned of each class; zeros before the first one. */
  async bayesCounts(): Promise<BayesCounts> {
    const reply = await this.command('HMGET', 'RS', 'learns_spam', 'learns_ham');
    if (!Array.isArray(reply)) throw new Error('HMGET did not answer with a list');
    return { spam: Number(reply[0] ?? 0), ham: Number(reply[1] ?? 0) };
  }

  protected serverCommand(): Omit<ServerCommand, 'cwd' | 'user'> {
    const { program = 'redis-server', isSentinel = false } = this.#options;
    return {
      program,
      args: [CONFIG, ...(isSentinel ? ['--sentinel'] : [])],
      outputFile: join(this.folder, 'redis.log'),
    };
  }

  #config(): string {
    const { persistence, password, settings = [], isSentinel = false } = this.#options;
    // Snapshots would come at moments that nobody chose.
    const append = `appendonly ${persistence === 'always' ? 'yes' : 'no'}`;
    const data = isSentinel ? [] : ['save ""', append, 'appendfsync always'];
    return [
      ...[`port ${this.port}`, `bind ${LOOPBACK}`, `dir ${JSON.stringify(this.folder)}`],
      ...['daemonize no', ...data, ...settings],
      ...(password === undefined ? [] : [`requirepass ${password}`]),
      '',
    ].join('\n');
  }

  protected async answers(): Promise<boolean> {
    return (await this.command('PING').catch(() => undefined)) === 'PONG';
  }
}

/** A sentinel, or a node of a cluster, writes down what it finds out. */
const CONFIG = 'redis.conf';

/** A command as it is sent. */
function written(words: readonly string[]): string {
  const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
  return `*${words.length}\r\n${parts.join('')}`;
}

type Parsed = readonly [reply: RedisReply | Error, next: number];

/** The answer (in RESP2) that starts at `start`, or undefined while it is not complete. */
function parseReply(buffer: Buffer, start: number): Parsed | undefined {
  const end = buffer.indexOf('\r\n', start);
  if (end === -1) return undefined;
  const kind = buffer.toString('latin1', start, start + 1);
  const line = buffer.toString('utf8', start + 1, end);
  let next = end + 2;
  if (kind === '+') return [line, next];
  if (kind === '-') return [new Error(line), next];
  const number = Number(line);
  if (kind === ':') return [number, next];
  if (number < 0) return [null, next];
  if (kind === '$') {
    const isWhole = buffer.length >= next + number + 2;
    return isWhole ? [buffer.toString('utf8', next, next + number), next + number + 2] : undefined;
  }
  const list: RedisReply[] = [];
  while (list.length < number) {
    const item = parseReply(buffer, next);
    if (item === undefined || item[0] instanceof Error) return item;
    list.push(item[0]);
    next = item[1];
  }
  return [list, next];
}
