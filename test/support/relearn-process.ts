import { spawn } from 'node:child_process';
import { onTestFinished } from 'vitest';
import type { Summary } from '../../src/relearn/summary.ts';
import { program } from './run.ts';

export interface RelearnResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
}

/** `kopano-learnd relearn` as a child process. */
export class RelearnProcess {
  readonly ended: Promise<RelearnResult>;
  out = '';
  err = '';
  readonly #child;
  #isPatient = false;

  constructor(
    args: readonly string[],
    environment: Readonly<Record<string, string>>,
    input?: string | Buffer,
  ) {
    this.#child = spawn(process.execPath, [program(), 'relearn', ...args], {
      env: { PATH: process.env['PATH'] ?? '', STATUS_LISTEN: 'off', ...environment },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const child = this.#child;
    child.stdout.setEncoding('utf8').on('data', (text: string) => (this.out += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.err += text;
      if (!this.#isPatient && text.includes("waiting for rspamd's own count"))
        this.signal('SIGINT');
    });
    child.stdin.on('error', () => undefined);
    if (input !== undefined) child.stdin.end(input);
    this.ended = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        resolve({ code, signal, out: this.out, err: this.err });
      });
    });
    onTestFinished(() => {
      child.kill('SIGKILL');
    });
  }

  /** Waits for rspamd's own count, too, which may take a minute. */
  beingPatient(): this {
    this.#isPatient = true;
    return this;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }
}

/** Reads the summary that `--json` prints. */
export function summaryIn(result: RelearnResult): Summary {
  try {
    return JSON.parse(result.out) as Summary;
  } catch (error) {
    throw new Error(`no summary: ${result.out}\n${result.err}`, { cause: error });
  }
}
