import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { KopanoWriter } from '../lab/kopano-writer.ts';
import type { MadeMessage } from '../lab/messages.ts';
import { asOneself, program } from '../support/run.ts';

/**
 * The built program as a child process, a spool of its own in a temporary folder, and a writer that
 * works as kopano-spamd does. Unlike the lab's `DaemonProcess` it keeps every byte of both outputs
 * and how the process ended.
 */

/** How long anything may take that is to happen at all, on a busy machine. */
const PATIENCE_MS = 60_000;
const POLL_MS = 10;

/** Small times, so that what takes minutes in service takes moments here. */
const QUICK = {
  LEARN_SETTLE_MS: '200',
  LEARN_SWEEP_SECONDS: '1',
  STATUS_LISTEN: 'off',
  SHUTDOWN_SECONDS: '2',
};

export interface LogLine {
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export type Settings = Readonly<Record<string, string>>;

/** A spool with its writer; disposing ends the daemons that were started on it and removes it. */
export class Spool implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'learnd-faults-'));
  readonly lib = join(this.folder, 'spamd');
  readonly #writer = new KopanoWriter({ lib: this.lib });
  readonly #daemons: ChildDaemon[] = [];

  constructor() {
    for (const verdict of ['spam', 'ham']) mkdirSync(join(this.lib, verdict), { recursive: true });
  }

  /**
   * Starts the program with these settings beside the small ones.
   * @param through a command that runs the one that follows it, and becomes it
   */
  start(
    settings: Settings,
    args: readonly string[] = ['watch'],
    through: readonly string[] = [],
  ): ChildDaemon {
    const all = { ...QUICK, KOPANO_SPAMD_LIB: this.lib, ...settings };
    const daemon = new ChildDaemon(args, all, through);
    this.#daemons.push(daemon);
    return daemon;
  }

  /** Writes messages as kopano-spamd does. */
  async write(...messages: readonly MadeMessage[]): Promise<void> {
    for (const { verdict, name, raw } of messages) {
      const outcome = await this.#writer.write({ verdict, name, body: raw });
      // On a slow machine it is taken before its mark, whole: the settle time is short here.
      if (outcome.kind !== 'written' && outcome.kind !== 'vanished')
        throw new Error(`the writer failed: ${outcome.kind}`);
    }
  }

  /** Names in a folder below the spool, both verdicts', the hidden ones left out. */
  names(place: '' | '.learnd/queue' | '.learnd/quarantine' | '.learnd/archive'): string[] {
    return ['spam', 'ham'].flatMap((verdict) => {
      const folder = join(this.lib, place, verdict);
      if (!existsSync(folder)) return [];
      return readdirSync(folder).filter((name) => !name.startsWith('.'));
    });
  }

  /** Names in the drop directory and the queue. */
  get waiting(): string[] {
    return [...this.names(''), ...this.names('.learnd/queue')];
  }

  /** Messages in quarantine, without their reason files. */
  get quarantined(): string[] {
    return this.names('.learnd/quarantine').filter((name) => !name.endsWith('.json'));
  }

  /** What the reason file of a message in quarantine says. */
  reasonOf({ verdict, name }: MadeMessage): Readonly<Record<string, unknown>> {
    const file = join(this.lib, '.learnd/quarantine', verdict, `${name}.json`);
    return JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  }

  /** All reason files of the quarantine. */
  get reasons(): string[] {
    const quarantine = join(this.lib, '.learnd/quarantine');
    return readdirSync(quarantine, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.json'))
      .map((name) => readFileSync(join(quarantine, name), 'utf8'));
  }

  /** Ends all daemons that were started on it. */
  async kill(): Promise<void> {
    for (const daemon of this.#daemons) await daemon.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true });
  }
}

/** One run of the program. */
export class ChildDaemon {
  readonly #child: ChildProcess;
  readonly #closed: Promise<number | NodeJS.Signals>;
  #stdout = '';
  #stderr = '';
  #running = true;

  constructor(args: readonly string[], settings: Settings, through: readonly string[] = []) {
    const env = { PATH: process.env['PATH'] ?? '', ...settings };
    const [first = '', ...rest] = [...through, process.execPath, program(), ...asOneself(), ...args];
    const child = spawn(first, rest, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.setEncoding('utf8').on('data', (text: string) => (this.#stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text));
    this.#child = child;
    this.#closed = new Promise((resolve, reject) => {
      this.#child.once('error', reject);
      this.#child.once('close', (code, signal) => {
        this.#running = false;
        resolve(code ?? signal ?? 'SIGKILL');
      });
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get running(): boolean {
    return this.#running;
  }

  /** Every byte of both outputs. */
  get output(): string {
    return this.#stdout + this.#stderr;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** What it has logged, the oldest first. */
  get lines(): readonly LogLine[] {
    return this.#stdout
      .split('\n')
      .slice(0, -1)
      .map((line) => {
        const fields = JSON.parse(line) as Record<string, unknown>;
        return { event: String(fields['event']), fields };
      });
  }

  /** The fields of the lines of one event, for one file where that is given. */
  logged(event: string, file?: string): readonly LogLine['fields'][] {
    return this.lines
      .filter((line) => line.event === event)
      .map(({ fields }) => fields)
      .filter((fields) => file === undefined || fields['file'] === file);
  }

  /** Peak resident memory in MB. */
  get peakMb(): number {
    const status = readFileSync(`/proc/${this.#child.pid ?? 'self'}/status`, 'utf8');
    return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) / 1024;
  }

  /** Stops reading its log: from now on its writes there fail with EPIPE. */
  closeLog(): void {
    this.#child.stdout?.destroy();
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /**
   * Waits for a condition that no event tells.
   * @param what completes the sentence "the daemon did not ..."
   * @throws when it takes too long, or when the daemon ends first
   */
  async until(what: string, isSo: () => boolean): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    while (!isSo()) {
      const why = this.#running ? 'in time' : 'before it ended';
      if (!this.#running || performance.now() > deadline) {
        if (isSo()) return;
        throw new Error(`the daemon did not ${what} ${why}:\n${this.output.slice(-3_000)}`);
      }
      await sleep(POLL_MS);
    }
  }

  /** Sends SIGHUP after SIGHUP until that is so: one that comes during a post may change nothing. */
  async hurry(what: string, isSo: () => boolean): Promise<void> {
    await this.until(what, () => {
      if (isSo()) return true;
      this.signal('SIGHUP');
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
    const learned = (): number => this.logged('message.learned').length;
    await this.until(`learn ${count} messages`, () => learned() >= count);
  }

  /** Waits for its end; resolves to its exit code, or to the signal that killed it. */
  async ends(): Promise<number | NodeJS.Signals> {
    const late = sleep(PATIENCE_MS, undefined, { ref: false });
    const end = await Promise.race([this.#closed, late]);
    if (end !== undefined) return end;
    throw new Error(`the daemon did not end in time:\n${this.output.slice(-3_000)}`);
  }

  /** SIGTERM; resolves to how it ended. */
  async stop(): Promise<number | NodeJS.Signals> {
    this.signal('SIGTERM');
    return await this.ends();
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.#closed;
  }
}
