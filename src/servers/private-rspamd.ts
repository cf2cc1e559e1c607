/**
 * A private rspamd: free loopback ports, no network, no terminal. What Bayes learns is in the Redis
 * that it is given, never in the folder.
 */
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
    [this.controllerPort = 0, this.scannerPort = 0] = ports;
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
  workers(): Promise<readonly RspamdWorker[]> {
    const children = processes().filter(({ parent }) => parent === this.pid);
    const workers = children.flatMap(({ pid, commandLine }) => {
      const kind = /^rspamd: (\w+) process/.exec(commandLine)?.[1];
      return kind === undefined ? [] : [{ pid, kind }];
    });
    return Promise.resolve(workers);
  }

  /** SIGKILL to the controller's workers only; the main process forks new ones. */
  async killWorker(): Promise<void> {
    for (const { pid, kind } of await this.workers()) {
      if (kind === 'controller') process.kill(pid, 'SIGKILL');
    }
  }

  /**
   * Posts a message to a path of the controller, such as `/learnspam`. Every status is an answer.
   * @throws when the connection fails, or after a silence
   */
  async post(
    path: string,
    body: Buffer,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<RspamdReply> {
    const signal = AbortSignal.timeout(ANSWER_MS);
    const request = { method: 'POST', body: new Uint8Array(body), headers, signal };
    const response = await fetch(`${this.url}${path}`, request);
    const { status, statusText: reason } = response;
    // rspamd sends a body with 204, an error to Node's parser: status and reason are all there is.
    return { status, reason, body: status === 204 ? '' : await response.text() };
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
    const pings = [this.controllerPort, this.scannerPort].map(async (port) => {
      const signal = AbortSignal.timeout(1_000);
      return (await fetch(`http://${LOOPBACK}:${port}/ping`, { signal })).ok;
    });
    const answered = await Promise.allSettled(pings);
    return answered.every((each) => each.status === 'fulfilled' && each.value);
  }
}
