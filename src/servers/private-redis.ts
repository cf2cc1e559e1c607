/** A private Redis on a free loopback port, with nobody else's data, and one command at a time. */
import { connect } from 'node:net';
import { join } from 'node:path';
import { freePort, LOOPBACK } from './ports.ts';
import { PrivateServer, startServer } from './private-server.ts';
import type { PrivateServerOptions } from './private-server.ts';
import type { ServerCommand } from './server-process.ts';

/** How to start a private Redis. */
export interface PrivateRedisOptions extends PrivateServerOptions {
  /**
   * `none` forgets everything at a stop; `always` writes each command to disk before it answers, so
   * that nothing answered is lost at a SIGKILL.
   *
   * @defaultValue 'none'
   */
  readonly persistence?: 'none' | 'always';
}

/** What rspamd's Bayes has learned, as its key in Redis says. */
export interface BayesCounts {
  readonly spam: number;
  readonly ham: number;
}

/** An answer of Redis. */
export type RedisReply = string | number | null | readonly RedisReply[];

/** A silent Redis (frozen, busy) is given up after this long. */
const SILENCE_MS = 5_000;

export class PrivateRedis extends PrivateServer {
  readonly host = LOOPBACK;
  readonly port: number;
  readonly #options: PrivateRedisOptions;

  private constructor(folder: string, port: number, options: PrivateRedisOptions) {
    super(folder);
    this.port = port;
    this.#options = options;
  }

  /** Starts a new server; resolves when it answers PING. */
  static start(options: PrivateRedisOptions = {}): Promise<PrivateRedis> {
    return startServer(
      options,
      async (folder) => new PrivateRedis(folder, await freePort(), options),
    );
  }

  /**
   * Sends one command, such as `command('HGETALL', 'RS')`, over a connection of its own.
   *
   * @throws when Redis answers with an error, with its words
   */
  command(...args: readonly string[]): Promise<RedisReply> {
    return new Promise((resolve, reject) => {
      const socket = connect(this.port, this.host);
      let received = Buffer.alloc(0);
      socket.setTimeout(SILENCE_MS, () => {
        socket.destroy(new Error(`Redis was silent for ${SILENCE_MS} ms`));
      });
      socket.on('data', (chunk) => {
        received = Buffer.concat([received, chunk]);
        const parsed = parseReply(received, 0);
        if (parsed === undefined) return;
        if (parsed.reply instanceof Error) reject(parsed.reply);
        else resolve(parsed.reply);
        socket.destroy();
      });
      socket.on('error', reject);
      socket.on('close', () => {
        reject(new Error('Redis closed the connection without an answer'));
      });
      const words = args.map((arg) => `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`);
      socket.write(`*${args.length}\r\n${words.join('')}`);
    });
  }

  /** How many messages rspamd's Bayes has learned of each class; zeros before the first one. */
  async bayesCounts(): Promise<BayesCounts> {
    const reply = await this.command('HMGET', 'RS', 'learns_spam', 'learns_ham');
    if (!Array.isArray(reply)) throw new Error('HMGET did not answer with a list');
    return { spam: Number(reply[0] ?? 0), ham: Number(reply[1] ?? 0) };
  }

  protected serverCommand(): Omit<ServerCommand, 'cwd'> {
    const append = this.#options.persistence === 'always' ? 'yes' : 'no';
    return {
      program: this.#options.program ?? 'redis-server',
      args: [
        ...['--port', String(this.port), '--bind', this.host, '--dir', this.folder],
        // snapshots would come at moments that nobody chose
        ...['--save', '', '--appendonly', append, '--appendfsync', 'always', '--daemonize', 'no'],
      ],
      outputFile: join(this.folder, 'redis.log'),
    };
  }

  protected async answers(): Promise<boolean> {
    return (await this.command('PING').catch(() => undefined)) === 'PONG';
  }
}

interface Parsed {
  readonly reply: RedisReply | Error;
  readonly next: number;
}

/** The answer (in RESP2) that starts at `start`, or undefined while it is not complete. */
function parseReply(buffer: Buffer, start: number): Parsed | undefined {
  const end = buffer.indexOf('\r\n', start);
  if (end === -1) return undefined;
  const kind = buffer.toString('latin1', start, start + 1);
  const line = buffer.toString('utf8', start + 1, end);
  const next = end + 2;
  if (kind === '+') return { reply: line, next };
  if (kind === '-') return { reply: new Error(line), next };
  const number = Number(line);
  if (kind === ':') return { reply: number, next };
  if (number < 0) return { reply: null, next };
  if (kind === '*') return parseList(buffer, next, number);
  return buffer.length < next + number + 2
    ? undefined
    : { reply: buffer.toString('utf8', next, next + number), next: next + number + 2 };
}

function parseList(buffer: Buffer, start: number, length: number): Parsed | undefined {
  const items: RedisReply[] = [];
  let next = start;
  while (items.length < length) {
    const item = parseReply(buffer, next);
    if (item === undefined || item.reply instanceof Error) return item;
    items.push(item.reply);
    next = item.next;
  }
  return { reply: items, next };
}
