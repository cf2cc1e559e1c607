/**
 * The real daemon (`kopano-learnd watch`) as a child process, and what its log says.
 *
 * Gives it a bare environment, so that no setting of the caller's shell reaches it. Keeps every log
 * line that it wrote: for demo and tests, not for days.
 */
import { join } from 'node:path';
import { ServerProcess } from '../../src/servers/server-process.ts';

/** One line of the daemon's log. */
export interface LogLine {
  /** Such as `message.learned`; empty for a line without one. */
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** How to start a daemon. */
export interface DaemonProcessOptions {
  /** Program and arguments, such as `[process.execPath, '.../main.js', 'watch']`. */
  readonly command: readonly [string, ...string[]];
  /** The settings, as environment variables; PATH is the only other one that the daemon gets. */
  readonly settings: Readonly<Record<string, string>>;
  /** The daemon's PATH (it looks for flock there). */
  readonly searchPath: string;
  /** An existing folder of the caller's, for what the daemon prints on standard error. */
  readonly folder: string;
}

/** When {@link DaemonProcess.until} gives up. */
export interface Patience {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

interface Waiter {
  readonly look: () => boolean;
  readonly settle: (outcome: 'seen' | 'ended') => void;
}

export class DaemonProcess {
  readonly #lines: LogLine[] = [];
  readonly #waiters = new Set<Waiter>();
  #process: ServerProcess | undefined;

  /** Starts the daemon; resolves when its process runs, not when it is ready. */
  static async start(options: DaemonProcessOptions): Promise<DaemonProcess> {
    const daemon = new DaemonProcess();
    const [program, ...args] = options.command;
    const server = await ServerProcess.start({
      program,
      args,
      cwd: options.folder,
      outputFile: join(options.folder, 'daemon.stderr'),
      environment: { PATH: options.searchPath, ...options.settings },
      onLine: (line) => {
        daemon.#take(line);
      },
    });
    daemon.#process = server;
    server.onEnd(() => {
      daemon.#end();
    });
    return daemon;
  }

  /** Everything that it has logged, the oldest first. */
  get lines(): readonly LogLine[] {
    return this.#lines;
  }

  get running(): boolean {
    return this.#process?.running ?? false;
  }

  get pid(): number | undefined {
    return this.running ? this.#process?.pid : undefined;
  }

  /** The log lines of one event. */
  linesOf(event: string): readonly LogLine[] {
    return this.#lines.filter((line) => line.event === event);
  }

  /**
   * Waits until `isSo`, asked after each log line, answers true.
   *
   * @param what - completes the sentence "the daemon did not ..."
   * @throws when the daemon ends first, at the timeout, or when the signal is aborted
   */
  async until(what: string, isSo: () => boolean, patience: Patience): Promise<void> {
    patience.signal?.throwIfAborted();
    if (isSo()) return;
    const outcome = await this.#wait(isSo, patience);
    patience.signal?.throwIfAborted();
    if (outcome === 'seen') return;
    const why = outcome === 'ended' ? 'it ended' : `${patience.timeoutMs} ms were not enough`;
    throw new Error(`the daemon did not ${what}: ${why}\n${this.#lastWords()}`);
  }

  /** Sends a signal to the daemon, such as SIGHUP. */
  signal(signal: NodeJS.Signals): void {
    this.#process?.signal(signal);
  }

  /** SIGTERM, SIGKILL after three seconds; resolves when it is gone. Idempotent. */
  async stop(): Promise<void> {
    await this.#process?.stop();
  }

  /** SIGKILL; resolves when it is gone. */
  async kill(): Promise<void> {
    await this.#process?.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #wait(
    look: () => boolean,
    { timeoutMs, signal }: Patience,
  ): Promise<'seen' | 'ended' | 'timeout' | 'aborted'> {
    if (!this.running) return 'ended';
    return new Promise((resolve) => {
      const settle = (outcome: 'seen' | 'ended' | 'timeout' | 'aborted'): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        this.#waiters.delete(waiter);
        resolve(outcome);
      };
      const waiter = { look, settle };
      const onAbort = (): void => {
        settle('aborted');
      };
      const timer = setTimeout(() => {
        settle('timeout');
      }, timeoutMs);
      signal?.addEventListener('abort', onAbort);
      this.#waiters.add(waiter);
    });
  }

  #take(text: string): void {
    this.#lines.push(parseLine(text));
    for (const waiter of this.#waiters) {
      if (waiter.look()) waiter.settle('seen');
    }
  }

  #end(): void {
    for (const waiter of this.#waiters) waiter.settle('ended');
  }

  #lastWords(): string {
    const log = this.#lines.slice(-5).map((line) => JSON.stringify(line.fields));
    return [...log, this.#process?.tailOfOutput() ?? ''].join('\n');
  }
}

/** A log line; what is no JSON object (a crash on standard output) is kept as its text. */
function parseLine(text: string): LogLine {
  try {
    const fields: unknown = JSON.parse(text);
    if (typeof fields === 'object' && fields !== null) {
      const event = 'event' in fields && typeof fields.event === 'string' ? fields.event : '';
      return { event, fields: { ...fields } };
    }
  } catch {
    // not JSON: below
  }
  return { event: '', fields: { text } };
}
