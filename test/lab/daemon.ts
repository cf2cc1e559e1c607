/**
 * A daemon (`kopano-learnd watch`), what it prints and how it ends; here as a process, in
 * `test/support/daemon-here.ts` as a part of this one.
 *
 * Gives it a bare environment, so that no setting of the caller's shell reaches it. Keeps every byte
 * that it prints: for demo and tests, not for days.
 */
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ServerProcess } from '../../src/servers/server-process.ts';

/** How long anything may take that is to happen at all, on a busy machine. */
const PATIENCE_MS = 120_000;
const POLL_MS = 10;

/** Environment variables. */
export type Settings = Readonly<Record<string, string>>;

/** An exit code, or the signal that ended it. */
type End = number | NodeJS.Signals;

/** One line of the log. */
export interface LogLine {
  /** Such as `message.learned`; empty for a line without one. */
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** What runs the daemon. */
interface Life {
  readonly pid?: number;
  readonly ended: Promise<End>;
  readonly stderr: () => string;
  readonly signal: (signal: NodeJS.Signals) => void;
  /** Ends it as fast as can be. */
  readonly kill: () => Promise<unknown>;
}

/** When a wait is given up. */
interface Patience {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** What came out at standard output, taken apart as a log. */
export class Output {
  text = '';
  readonly lines: LogLine[] = [];
  #rest = '';

  readonly take = (text: string): void => {
    this.text += text;
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    this.lines.push(...lines.map(parseLine));
  };
}

export class Daemon implements AsyncDisposable {
  readonly #output: Output;
  readonly #life: Life;
  #isRunning = true;

  constructor(output: Output, life: Life) {
    this.#output = output;
    this.#life = life;
    const ended = (): void => {
      this.#isRunning = false;
    };
    void life.ended.then(ended, ended);
  }

  /**
   * Starts a process; resolves when it runs, not when it is ready. It doesn't outlive this one.
   * @param folder of the caller's, for standard error; the run of the tests removes its own
   */
  static async spawn(
    [program = '', ...args]: readonly string[],
    settings: Settings,
    folder = mkdtempSync(join(tmpdir(), 'learnd-daemon-')),
  ): Promise<Daemon> {
    const output = new Output();
    const stderr = join(folder, 'stderr');
    const child = await ServerProcess.start({
      program,
      args,
      cwd: folder,
      outputFile: stderr,
      environment: { PATH: process.env['PATH'] ?? '', ...settings },
      onLine: (line) => output.take(`${line}\n`),
    });
    return new Daemon(output, {
      pid: child.pid,
      ended: child.ended,
      stderr: () => readFileSync(stderr, 'utf8'),
      signal: (signal) => child.signal(signal),
      kill: () => child.kill(),
    });
  }

  /** 0 when it is no process of its own. */
  get pid(): number {
    return this.#life.pid ?? 0;
  }

  get running(): boolean {
    return this.#isRunning;
  }

  /** What it has logged, the oldest first. */
  get lines(): readonly LogLine[] {
    return this.#output.lines;
  }

  get stdout(): string {
    return this.#output.text;
  }

  get stderr(): string {
    return this.#life.stderr();
  }

  /** Every byte of both outputs. */
  get output(): string {
    return this.stdout + this.stderr;
  }

  /** The log lines of one event. */
  linesOf(event: string): readonly LogLine[] {
    return this.lines.filter((line) => line.event === event);
  }

  /** The fields of the lines of one event, for one file where that is given. */
  logged(event: string, file?: string): readonly LogLine['fields'][] {
    return this.linesOf(event)
      .map(({ fields }) => fields)
      .filter((fields) => file === undefined || fields['file'] === file);
  }

  /** Peak resident memory of its process, in MB. */
  get peakMb(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8');
    return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) / 1024;
  }

  signal(signal: NodeJS.Signals): void {
    this.#life.signal(signal);
  }

  /**
   * Waits for a condition that no event tells.
   * @param what completes the sentence "the daemon did not ..."
   * @throws when it takes too long, when the daemon ends first, or when the signal is aborted
   */
  async until(
    what: string,
    isSo: () => boolean,
    { timeoutMs = PATIENCE_MS, signal }: Patience = {},
  ): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      signal?.throwIfAborted();
      const wasRunning = this.#isRunning;
      if (isSo()) return;
      if (!wasRunning || performance.now() > deadline) {
        const why = wasRunning ? 'in time' : 'before it ended';
        throw new Error(`the daemon did not ${what} ${why}:\n${this.output.slice(-3_000)}`);
      }
      await sleep(POLL_MS);
    }
  }

  /**
   * Sends SIGHUP after SIGHUP until that is so: one that comes during a post may change nothing.
   * @param isTime whether one may help now
   */
  async hurry(what: string, isSo: () => boolean, isTime = (): boolean => true): Promise<void> {
    await this.until(what, () => {
      if (isSo()) return true;
      if (isTime()) this.signal('SIGHUP');
      return false;
    });
  }

  /** Waits for a line of this event, for one file where that is given. */
  async says(event: string, file?: string): Promise<LogLine['fields']> {
    await this.until(`say ${event}`, () => this.logged(event, file).length > 0);
    return this.logged(event, file)[0] ?? {};
  }

  /** Waits until it has said so of that many messages; their files are gone by then. */
  async learns(count: number): Promise<void> {
    await this.until(
      `learn ${count} messages`,
      () => this.linesOf('message.learned').length >= count,
    );
  }

  /** Waits for its end. */
  async ends(): Promise<End> {
    const late = sleep(PATIENCE_MS, undefined, { ref: false });
    const end = await Promise.race([this.#life.ended, late]);
    if (end !== undefined) return end;
    throw new Error(`the daemon did not end in time:\n${this.output.slice(-3_000)}`);
  }

  /** SIGTERM; resolves to how it ended. */
  async stop(): Promise<End> {
    this.signal('SIGTERM');
    return this.ends();
  }

  /** Ends it as fast as can be. Idempotent. */
  async kill(): Promise<void> {
    await this.#life.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

/** A log line; what is no JSON object is kept as its text. */
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
