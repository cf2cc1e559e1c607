import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { PoolOptions, PoolWorker, WorkerRequest } from 'vitest/node';

/**
 * vitest's processes for the files `unprivileged.test.ts`. Root may do everything; in there it may
 * not: it lacks the capabilities that step over modes and owners, and keeps that of chown. It is the
 * user whom the checkout belongs to, who can read it wherever it lies.
 *
 * Never by seteuid(): Debian's Node.js 20 refuses it, as it can't be sure that its libuv does without
 * io_uring (CVE-2024-22017).
 */

const { uid, gid } = statSync(import.meta.dirname);
const CAPABILITIES = 'dac_override,dac_read_search,fowner'.split(',');
const SETPRIV = [
  ...[`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups'],
  ...['--inh-caps=+chown', '--ambient-caps=+chown'],
  `--bounding-set=${CAPABILITIES.map((name) => `-${name}`).join(',')}`,
];

class OrdinaryUserWorker implements PoolWorker {
  readonly name = 'ordinary user';
  readonly #options: PoolOptions;
  #process: ChildProcess | undefined;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  start(): Promise<void> {
    const { distPath, env, execArgv } = this.#options;
    const isRoot = process.geteuid?.() === 0;
    this.#process ??= fork(join(distPath, 'workers/forks.js'), [], {
      ...(isRoot ? { execPath: 'setpriv' } : {}),
      execArgv: [...(isRoot ? [...SETPRIV, process.execPath] : []), ...execArgv],
      env,
      serialization: 'advanced',
    });
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  on(event: string, listener: (argument: unknown) => void): void {
    this.#process?.on(event, listener);
  }

  off(event: string, listener: (argument: unknown) => void): void {
    this.#process?.off(event, listener);
  }

  send(message: WorkerRequest): void {
    this.#process?.send(message);
  }

  deserialize(message: unknown): unknown {
    return message;
  }
}

export const ordinaryUser = {
  name: 'ordinary user',
  createPoolWorker: (options: PoolOptions): PoolWorker => new OrdinaryUserWorker(options),
};
