import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, constants, openSync, readFileSync } from 'node:fs';
import { onTestFinished } from 'vitest';
import { until } from './until.ts';

/**
 * A FIFO that tells whether it was ever opened: a child waits for a reader, and writes to it as
 * soon as there is one.
 */
export class Fifo {
  readonly #path: string;
  readonly #writer: ChildProcess;

  private constructor(path: string, writer: ChildProcess) {
    this.#path = path;
    this.#writer = writer;
  }

  static async make(path: string): Promise<Fifo> {
    execFileSync('mkfifo', ['-m', '660', path]);
    const writer = spawn('sh', ['-c', 'exec 3> "$1"', 'sh', path], { stdio: 'ignore' });
    onTestFinished(() => {
      writer.kill('SIGKILL');
    });
    const { pid = 0 } = writer;
    await until('the writer waits for a reader', () => {
      const state = /\) (\w)/.exec(readFileSync(`/proc/${pid}/stat`, 'latin1'))?.[1];
      const commandLine = readFileSync(`/proc/${pid}/cmdline`, 'latin1');
      return state === 'S' && commandLine.startsWith('sh');
    });
    return new Fifo(path, writer);
  }

  /** True when somebody has opened it since; the end of the test with it. */
  async wasOpened(): Promise<boolean> {
    const ended = (): boolean => this.#writer.exitCode !== null;
    if (ended()) return true;
    // Had it ended a moment ago, opening it here would find no writer any more.
    const fd = openSync(this.#path, constants.O_RDONLY | constants.O_NONBLOCK);
    await until('the writer has its reader', ended);
    closeSync(fd);
    return false;
  }
}
