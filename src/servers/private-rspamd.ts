/**
 * A private rspamd: free loopback ports, no network, no terminal. What Bayes learns is in the Redis
 * that it is given, never in the folder.
 */
import { request } from 'node:http';
import { join } from 'node:path';
import { freePorts, LOOPBACK } from './ports.ts';
import { PrivateServer, startServer } from './private-server.ts';
import type { PrivateServerOptions } from './private-server.ts';
import { writeRspamdConfig } from './rspamd-config.ts';
import type { RspamdSettings } from './rspamd-config.ts';
import { processes } from './server-process.ts';
import type { ServerCommand } from './server-process.ts';

/** A silent rspamd (frozen, busy) is given up after this long. */
const ANSWER_MS = 30_000;

/** How to start a private rspamd. */
export interface PrivateRspamdOptions extends PrivateServerOptions, RspamdSettings {}

/** One process below rspamd's main process; `kind` is `controller`, `normal`, `hs_helper`, ... */
export interface RspamdWorker {
  readonly pid: number;
  readonly kind: string;
}

/** An answer of rspamd: status, reason phrase and body as they came. */
export interface RspamdReply {
  readonly status: number;
  readonly reason: string;
  readonly body: string;
}

/** What Bayes says of a message: a verdict with its probability, or nothing. */
export interface BayesOpinion {
  readonly verdict: 'spam' | 'ham' | 'none';
  /** How sure Bayes is, in percent as rspamd prints it; 0 without a verdict. */
  readonly percent: number;
}

export class PrivateRspamd extends PrivateServer {
  readonly controllerPort: number;
  /** The scan worker's port: answers learn requests with 500 `invalid command`. */
  readonly scannerPort: number;
  readonly #options: PrivateRspamdOptions;

  private constructor(folder: string, ports: readonly number[], options: PrivateRspamdOptions) {
    super(folder);
    const [controllerPort = 0, scannerPort = 0] = ports;
    this.controllerPort = controllerPort;
    this.scannerPort = scannerPort;
    this.#options = options;
  }

  /** Writes a configuration and starts a server with it; resolves when both workers answer. */
  static start(options: PrivateRspamdOptions): Promise<PrivateRspamd> {
    return startServer(options, async (folder) => {
      const rspamd = new PrivateRspamd(folder, await freePorts(2), options);
      await writeRspamdConfig(rspamd, options);
      return rspamd;
    });
  }

  /** The controller's URL, without a path. */
  get url(): string {
    return `http://${LOOPBACK}:${this.controllerPort}`;
  }

  /** The controller's Unix socket; only there with the option `unixSocket`. */
  get socketPath(): string {
    return join(this.folder, 'run/controller.sock');
  }

  /** The processes below the main one. */
  async workers(): Promise<readonly RspamdWorker[]> {
    const children = (await processes()).filter(({ parent }) => parent === this.pid);
    return children.flatMap(({ pid, commandLine }) => {
      const kind = /^rspamd: (\w+) process/.exec(commandLine)?.[1];
      return kind === undefined ? [] : [{ pid, kind }];
    });
  }

  /** SIGKILL to the controller's workers only; the main process forks new ones. */
  async killWorker(): Promise<void> {
    for (const { pid, kind } of await this.workers()) {
      if (kind === 'controller') process.kill(pid, 'SIGKILL');
    }
  }

  /** Posts a message to a path of the controller, such as `/learnspam`. */
  post(
    path: string,
    body: Buffer,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<RspamdReply> {
    return ask(this.controllerPort, path, { headers, body });
  }

  /** What Bayes thinks of a message now; learns nothing. */
  async bayesOpinion(message: Buffer): Promise<BayesOpinion> {
    const { status, body } = await this.post('/checkv2', message);
    if (status !== 200) throw new Error(`/checkv2 answered ${status}: ${body}`);
    const { symbols = {} } = JSON.parse(body) as {
      symbols?: Record<string, { options?: readonly string[] } | undefined>;
    };
    for (const verdict of ['spam', 'ham'] as const) {
      const symbol = symbols[`BAYES_${verdict.toUpperCase()}`];
      if (symbol === undefined) continue;
      return { verdict, percent: Number.parseFloat(symbol.options?.[0] ?? '0') };
    }
    return { verdict: 'none', percent: 0 };
  }

  protected serverCommand(): Omit<ServerCommand, 'cwd'> {
    const folders = { LOCAL_CONFDIR: 'config', DBDIR: 'database', RUNDIR: 'run', LOGDIR: 'log' };
    return {
      program: this.#options.program ?? 'rspamd',
      args: [
        // as root rspamd wants another user for its workers; this one has only its own folder to touch
        ...['--no-fork', '--insecure'],
        ...Object.entries(folders).map(([name, to]) => `--var=${name}=${join(this.folder, to)}`),
      ],
      outputFile: join(this.folder, 'log/rspamd.log'),
    };
  }

  protected async answers(): Promise<boolean> {
    const pings = [this.controllerPort, this.scannerPort].map((port) =>
      ask(port, '/ping', { timeoutMs: 1_000 }).then(
        ({ status }) => status === 200,
        () => false,
      ),
    );
    return (await Promise.all(pings)).every(Boolean);
  }
}

interface Question {
  readonly headers?: Readonly<Record<string, string>>;
  /** @defaultValue none, by GET */
  readonly body?: Buffer;
  readonly timeoutMs?: number;
}

/**
 * One request over one connection (rspamd has no keep-alive); every status is an answer.
 *
 * @throws when the connection fails, or after a silence
 */
function ask(
  port: number,
  path: string,
  { headers, body, timeoutMs = ANSWER_MS }: Question,
): Promise<RspamdReply> {
  return new Promise((resolve, reject) => {
    const method = body === undefined ? 'GET' : 'POST';
    const outgoing = request(
      { host: LOOPBACK, port, method, path, agent: false, headers: { ...headers } },
      (response) => {
        const reply = { status: response.statusCode ?? 0, reason: response.statusMessage ?? '' };
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => (text += chunk));
        response.on('error', reject);
        response.on('close', () => {
          resolve({ ...reply, body: text });
        });
        // rspamd sends a body with 204, an error to Node's parser: status and reason are all there is
        if (reply.status === 204) resolve({ ...reply, body: '' });
      },
    );
    outgoing.setTimeout(timeoutMs, () => {
      outgoing.destroy(new Error(`${path}: silent for ${timeoutMs} ms`));
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}
