import { rm } from 'node:fs/promises';
import { ServerProcess } from './server-process.ts';
import type { ServerCommand } from './server-process.ts';

/**
 * What the private servers share: a folder and a process that may be stopped and started again.
 *
 * Always either running (perhaps frozen) or stopped; the folder goes with the disposal.
 */
export abstract class PrivateServer implements AsyncDisposable {
  readonly folder: string;
  #process: ServerProcess | undefined;

  protected constructor(folder: string) {
    this.folder = folder;
  }

  /** How it is called in an error. */
  protected abstract readonly label: string;
  /** How long a start may take, in milliseconds. */
  protected abstract readonly startTimeoutMs: number;
  /** What is started, in the folder. */
  protected abstract serverCommand(): Omit<ServerCommand, 'cwd'>;
  /** Whether it takes requests now. */
  protected abstract answers(): Promise<boolean>;

  get running(): boolean {
    return this.#process?.running ?? false;
  }

  /** The main process's id, or undefined while it is stopped. */
  get pid(): number | undefined {
    return this.running ? this.#process?.pid : undefined;
  }

  /** Starts the stopped server again, with the same ports and folder; resolves when it answers. */
  async start(): Promise<void> {
    if (this.running) throw new Error(`this ${this.label} is running already`);
    const server = await ServerProcess.start({ ...this.serverCommand(), cwd: this.folder });
    this.#process = server;
    await this.untilUp(server);
  }

  /** SIGTERM, SIGKILL to all after three seconds; resolves when all are gone. Idempotent. */
  async stop(): Promise<void> {
    await this.#process?.stop();
    this.#process = undefined;
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

  /** Resolves when a process that was just started answers. */
  protected async untilUp(server: ServerProcess): Promise<void> {
    await server.untilUp(() => this.answers(), this.startTimeoutMs);
  }

  /** A signal to the main process. */
  protected signal(signal: NodeJS.Signals): void {
    this.#process?.signal(signal);
  }
}
