/**
 * An rspamd of our own: a folder of its own, free loopback ports, no network, no terminal.
 *
 * Always either running (perhaps frozen) or stopped; folder, ports and configuration stay the same
 * over any number of stops and starts, and the folder goes with the disposal. What Bayes learns is
 * in the Redis that it is given, never in the folder.
 */
import { mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePorts, LOOPBACK } from './ports.ts';
import { PrivateServer } from './private-server.ts';
import { childrenOf } from './process-tree.ts';
import { ask, parseOpinion, type BayesOpinion, type RspamdReply } from './rspamd-client.ts';
import { writeRspamdConfig, type RspamdFolders, type RspamdSettings } from './rspamd-config.ts';
import type { ServerCommand, ServerProcess } from './server-process.ts';

const RELOAD_TIMEOUT_MS = 20_000;

/** How to start a private rspamd. */
export interface PrivateRspamdOptions {
  /** The loopback port of the Redis that Bayes learns into; null: no Bayes backend at all. */
  readonly redisPort: number | null;
  /** Worker processes of the controller. @defaultValue 1 */
  readonly controllerWorkers?: number;
  /** The controller's password. @defaultValue none is set */
  readonly password?: string;
  /** The password for learning. @defaultValue none: {@link password} is enough */
  readonly enablePassword?: string;
  /**
   * Addresses and networks that need no password. `[]` makes loopback need one as well (a Unix
   * socket never does).
   *
   * @defaultValue loopback
   */
  readonly secureIp?: readonly string[];
  /** Whether the controller listens on {@link PrivateRspamd.socketPath} too. @defaultValue false */
  readonly unixSocket?: boolean;
  /** Messages of both classes that Bayes needs before it judges. @defaultValue 200 */
  readonly minLearns?: number;
  /** Whether Bayes keeps a memory for each recipient. @defaultValue false */
  readonly perUser?: boolean;
  /** Whether variables in Redis' keys are expanded. @defaultValue false */
  readonly expandKeys?: boolean;
  /** Whether the history of the web interface lies in Redis. @defaultValue false */
  readonly redisHistory?: boolean;
  /** The server's path or name. @defaultValue 'rspamd' */
  readonly program?: string;
  /** Where its folder is made. @defaultValue the system's folder for temporary files */
  readonly parentFolder?: string;
}

/** One process below rspamd's main process; `kind` is `controller`, `normal`, `hs_helper`, ... */
export interface RspamdWorker {
  readonly pid: number;
  readonly kind: string;
}

export class PrivateRspamd extends PrivateServer {
  readonly controllerPort: number;
  /** The scan worker's port: answers learn requests with 500 `invalid command`. */
  readonly scannerPort: number;
  protected readonly label = 'rspamd';
  protected readonly startTimeoutMs = 30_000;
  readonly #folders: RspamdFolders;
  readonly #program: string;

  private constructor(folder: string, ports: readonly number[], program: string) {
    super(folder);
    const [controllerPort = 0, scannerPort = 0] = ports;
    this.controllerPort = controllerPort;
    this.scannerPort = scannerPort;
    this.#program = program;
    this.#folders = {
      config: join(folder, 'config'),
      database: join(folder, 'database'),
      run: join(folder, 'run'),
      log: join(folder, 'log'),
    };
  }

  /** Writes a configuration and starts a server with it; resolves when both workers answer. */
  static async start(options: PrivateRspamdOptions): Promise<PrivateRspamd> {
    const folder = await mkdtemp(join(options.parentFolder ?? tmpdir(), 'learnd-rspamd-'));
    const rspamd = new PrivateRspamd(folder, await freePorts(2), options.program ?? 'rspamd');
    try {
      await writeRspamdConfig(rspamd.#folders, rspamd.#settings(options));
      await rspamd.start();
    } catch (error) {
      await rspamd[Symbol.asyncDispose]();
      throw error;
    }
    return rspamd;
  }

  /** The controller's URL, without a path. */
  get url(): string {
    return `http://${LOOPBACK}:${this.controllerPort}`;
  }

  /** The controller's Unix socket; only there with the option `unixSocket`. */
  get socketPath(): string {
    return join(this.#folders.run, 'controller.sock');
  }

  get logFile(): string {
    return join(this.#folders.log, 'rspamd.log');
  }

  /** Stop and start: the same ports, a process that has forgotten what it had in memory. */
  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** The processes below the main one. */
  async workers(): Promise<readonly RspamdWorker[]> {
    if (this.pid === undefined) return [];
    const children = await childrenOf(this.pid);
    return children.flatMap(({ pid, commandLine }) => {
      const kind = /^rspamd: (\w+) process/.exec(commandLine)?.[1];
      return kind === undefined ? [] : [{ pid, kind }];
    });
  }

  /** SIGKILL to the controller's workers only; the main process forks new ones. */
  async killWorker(): Promise<void> {
    for (const pid of await this.#controllerPids()) process.kill(pid, 'SIGKILL');
  }

  /** SIGHUP; resolves when new controller workers have replaced the old ones. */
  async reload(): Promise<void> {
    const old = new Set(await this.#controllerPids());
    const deadline = performance.now() + RELOAD_TIMEOUT_MS;
    this.signal('SIGHUP');
    for (;;) {
      const now = await this.#controllerPids();
      if (now.length > 0 && !now.some((pid) => old.has(pid)) && (await this.answers())) return;
      if (performance.now() > deadline) throw new Error('rspamd did not reload');
      await sleep(20);
    }
  }

  /** Posts a message to a path of the controller, such as `/learnspam`. */
  async post(
    path: string,
    body: Buffer,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<RspamdReply> {
    return ask(this.controllerPort, { method: 'POST', path, headers, body });
  }

  /** What Bayes thinks of a message now; learns nothing. */
  async bayesOpinion(message: Buffer): Promise<BayesOpinion> {
    const { status, body } = await this.post('/checkv2', message);
    if (status !== 200) throw new Error(`/checkv2 answered ${status}: ${body}`);
    return parseOpinion(body);
  }

  async #controllerPids(): Promise<readonly number[]> {
    const workers = await this.workers();
    return workers.filter(({ kind }) => kind === 'controller').map(({ pid }) => pid);
  }

  #settings(options: PrivateRspamdOptions): RspamdSettings {
    const tcp = `${LOOPBACK}:${this.controllerPort}`;
    return {
      controllerBinds: options.unixSocket === true ? [tcp, `${this.socketPath} mode=0666`] : [tcp],
      scannerBind: `${LOOPBACK}:${this.scannerPort}`,
      controllerWorkers: options.controllerWorkers ?? 1,
      secureIp: options.secureIp ?? [LOOPBACK, '::1'],
      password: options.password,
      enablePassword: options.enablePassword,
      redis: options.redisPort === null ? null : `${LOOPBACK}:${options.redisPort}`,
      minLearns: options.minLearns ?? 200,
      perUser: options.perUser ?? false,
      expandKeys: options.expandKeys ?? false,
      redisHistory: options.redisHistory ?? false,
    };
  }

  protected serverCommand(): Omit<ServerCommand, 'cwd'> {
    return {
      program: this.#program,
      args: this.#arguments(),
      outputFile: join(this.folder, 'output'),
    };
  }

  protected override async untilUp(server: ServerProcess): Promise<void> {
    try {
      await super.untilUp(server);
    } catch (error) {
      throw new Error(`rspamd did not start; the end of its log:\n${await this.#tailOfLog()}`, {
        cause: error,
      });
    }
  }

  #arguments(): readonly string[] {
    const { config, database, run, log } = this.#folders;
    return [
      // as root rspamd wants another user for its workers; this one has only its own folder to touch
      ...['--no-fork', '--insecure'],
      ...[`--var=LOCAL_CONFDIR=${config}`, `--var=DBDIR=${database}`],
      ...[`--var=RUNDIR=${run}`, `--var=LOGDIR=${log}`],
    ];
  }

  protected async answers(): Promise<boolean> {
    const pings = [this.controllerPort, this.scannerPort].map(async (port) => {
      const { status } = await ask(port, { method: 'GET', path: '/ping', timeoutMs: 1_000 });
      return status === 200;
    });
    try {
      return (await Promise.all(pings)).every(Boolean);
    } catch {
      return false;
    }
  }

  async #tailOfLog(): Promise<string> {
    const log = await readFile(this.logFile, 'utf8').catch(() => '(no log)');
    return log.slice(-2_000);
  }
}
