/**
 * kopano-writer as a child process, for writers with a user and a group of their own.
 *
 * Orders are carried out one after the other, in the order in which they were given.
 */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { encodeOrder, parseOutcome, type WriteOrder, type WriteOutcome } from './kopano-writer.ts';

/** How to start the writer's process. */
export interface KopanoWriterProcessOptions {
  /** The compiled kopano-writer.js. */
  readonly script: string;
  /** The folder that holds `spam` and `ham`. */
  readonly lib: string;
  /** The user that the process runs as; needs root. @defaultValue our own */
  readonly uid?: number;
  /** The group that the process runs as. @defaultValue our own */
  readonly gid?: number;
  /** What it gives the files with chown. @defaultValue leave both */
  readonly chown?: { readonly uid: number; readonly gid: number };
}

const ENDED: WriteOutcome = {
  kind: 'failed',
  code: 'EXIT',
  message: 'the writer has ended',
};

export class KopanoWriterProcess {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #waiting: ((outcome: WriteOutcome) => void)[] = [];

  constructor(options: KopanoWriterProcessOptions) {
    const { script, lib, uid, gid, chown } = options;
    const owner = chown === undefined ? [] : [String(chown.uid), String(chown.gid)];
    this.#child = spawn(process.execPath, [script, lib, ...owner], {
      stdio: ['pipe', 'pipe', 'inherit'],
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid }),
    });
    // nobody waits for it at the end of a test file: with its input it ends by itself
    this.#child.unref();
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      this.#waiting.shift()?.(parseOutcome(line));
    });
    this.#child.on('exit', () => {
      for (const settle of this.#waiting.splice(0)) settle(ENDED);
    });
    // orders that the child never read are settled by its exit
    this.#child.stdin.on('error', () => undefined);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Gives an order; resolves when it is carried out, or as failed when the process has ended. */
  async write(order: WriteOrder): Promise<WriteOutcome> {
    if (this.#ended) return ENDED;
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#child.stdin.write(`${encodeOrder(order)}\n`);
    });
  }

  /** Ends the process after the orders that it has; resolves when it is gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end();
    if (!this.#ended) await once(this.#child, 'exit');
  }

  get #ended(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }
}
