import { chown, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isTaken } from './ports.ts';
import { ServerProcess } from './server-process.ts';
import type { ServerCommand, ServerUser } from './server-process.ts';

/**
 * What the private servers share: a folder and a process that may be stopped and started again.
 *
 * Always either running (perhaps frozen) or stopped. Folder and ports stay the same over any number
 * of stops and starts; the folder goes with the disposal.
 */
export abstract class PrivateServer implements AsyncDisposable {
  readonly folder: string;
  readonly #user: ServerUser | undefined;
  #process: ServerProcess | undefined;

  /** @param user whom root's server becomes, and whose its folder is */
  protected constructor(folder: string, user?: ServerUser) {
    this.folder = folder;
    this.#user = user;
  }

  /** What is started, in the folder. */
  protected abstract serverCommand(): Omit<ServerCommand, 'cwd' | 'user'>;
  /** Whether it takes requests now; never rejects. */
  protected abstract answers(): Promise<boolean>;

  get running(): boolean {
    return this.#process?.running ?? false;
  }

  /** The main process's id, or undefined while it is stopped. */
  get pid(): number | undefined {
    return this.running ? this.#process?.pid : undefined;
  }

  /**
   * Starts the stopped server; resolves when it answers.
   * @throws when it ends first, or takes too long, with what it printed
   */
  async start(): Promise<void> {
    if (this.running) throw new Error(`the server in ${this.folder} is running already`);
    if (this.#user !== undefined) await giveAway(this.folder, this.#user);
    const command = { ...this.serverCommand(), cwd: this.folder, user: this.#user };
    const server = await ServerProcess.start(command);
    this.#process = server;
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (!(await this.answers())) {
      if (!server.running || performance.now() > deadline) {
        throw new Error(`the server in ${this.folder} doesn't answer:\n${server.tailOfOutput()}`);
      }
      await sleep(20);
    }
  }

  /** SIGTERM, SIGKILL to all after three seconds; resolves when all are gone. Idempotent. */
  async stop(): Promise<void> {
    await this.#process?.stop();
    this.#process = undefined;
  }

  /** Stop and start: a process that has forgotten what it had in memory. */
  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** SIGKILL to the main process and what it forked; resolves when they are gone. */
  async kill(): Promise<void> {
    await this.#process?.kill();
    this.#process = undefined;
  }

  /** SIGSTOP to all processes: connections are accepted (by the kernel) and never answered. */
  freeze(): void {
    this.#process?.signalGroup('SIGSTOP');
  }

  /** SIGCONT after {@link freeze}: what was sent meanwhile is carried out now. */
  resume(): void {
    this.#process?.signalGroup('SIGCONT');
  }

  /** Stops the server and removes its folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** rspamd takes ten seconds on a busy machine. */
const START_TIMEOUT_MS = 30_000;

/** Where a private server is kept, and which program it is. */
export interface PrivateServerOptions {
  /** The server's path or name. @defaultValue the server's usual name */
  readonly program?: string;
  /** Whom root's server becomes. @defaultValue who this process is */
  readonly runAs?: ServerUser | undefined;
  /** Where its folder is made. @defaultValue the system's folder for temporary files */
  readonly parentFolder?: string;
}

async function giveAway(folder: string, { uid, gid }: ServerUser): Promise<void> {
  const below = await readdir(folder, { recursive: true });
  for (const each of [folder, ...below.map((name) => join(folder, name))]) {
    await chown(each, uid, gid);
  }
}

/** Whose port was taken before they listened are made anew, with other ports, so many times in all. */
const TRIES = 3;

/** Makes a server in a new folder and starts it; one that doesn't start leaves nothing behind. */
export async function startServer<T extends PrivateServer>(
  { parentFolder = tmpdir() }: PrivateServerOptions,
  make: (folder: string) => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    const server = await make(await mkdtemp(join(parentFolder, 'learnd-server-')));
    try {
      await server.start();
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      if (attempt === TRIES || !(error instanceof Error && isTaken(error.message))) throw error;
    }
  }
}
