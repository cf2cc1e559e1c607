/**
 * The processes that a benchmark starts, each killed at the latest by {@link Children.killAll}, and
 * by the kernel's hand (see ServerProcess) should the benchmark itself be killed.
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ServerProcess } from '../src/servers/server-process.ts';
import { AS_ONESELF, BUNDLE, inScratch } from './scratch.ts';

const POLL_MS = 50;
const PATIENCE_MS = 900_000;

/** As the first lines of the bundle have them. */
const SMALL_HEAP = ['--max-semi-space-size=4', '--heap-growing-percent=40'];
/** What a daemon has logged so far. */
export interface Daemon {
  readonly process: ServerProcess;
  /** When it was started (performance.now). */
  readonly startedAt: number;
  /** When it logged an event for the first time. */
  readonly firstAt: ReadonlyMap<string, number>;
  /** When it did so last. */
  readonly lastAt: ReadonlyMap<string, number>;
  readonly counts: ReadonlyMap<string, number>;
}

export class Children {
  readonly #folder: string;
  readonly #running = new Set<ServerProcess>();

  /** @param folder where they work and leave what they print on standard error */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Starts Node.js; each line of its standard output goes to `onLine`. */
  async node(
    args: readonly string[],
    onLine: (line: string) => void = () => undefined,
    environment: Readonly<Record<string, string>> = {},
  ): Promise<ServerProcess> {
    const child = await ServerProcess.start({
      program: process.execPath,
      args,
      cwd: this.#folder,
      outputFile: join(this.#folder, 'stderr'),
      onLine,
      environment: { PATH: process.env['PATH'] ?? '', ...environment },
    });
    this.#running.add(child);
    return child;
  }

  /** Runs a program of this folder until it has printed a line; that line and the process. */
  async helper(
    name: string,
    ...args: readonly string[]
  ): Promise<readonly [line: string, child: ServerProcess]> {
    const script = fileURLToPath(new URL(`${name}.js`, import.meta.url));
    let first: string | undefined;
    const child = await this.node([script, ...args], (line) => {
      first ??= line;
    });
    await until(`a line of ${name}`, child, () => first !== undefined);
    return [first ?? '', child];
  }

  /** Starts the daemon with its default settings. */
  async daemon(options: {
    /** The spool. */
    readonly lib: string;
    /** The controllers' ports on the loopback address, separated by commas. */
    readonly port: string;
    /** Folder for a CPU profile, written when the daemon ends. */
    readonly profile?: string | undefined;
    /** @defaultValue off */
    readonly statusListen?: string;
    /** Another build of it. */
    readonly program?: string | undefined;
  }): Promise<Daemon> {
    const { lib, port, profile, statusListen = 'off', program = BUNDLE } = options;
    const firstAt = new Map<string, number>();
    const lastAt = new Map<string, number>();
    const counts = new Map<string, number>();
    const note = (line: string): void => {
      const event = /"event":"([a-z.]+)"/.exec(line)?.[1] ?? 'none';
      lastAt.set(event, performance.now());
      if (!firstAt.has(event)) firstAt.set(event, performance.now());
      counts.set(event, (counts.get(event) ?? 0) + 1);
    };
    const flags = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`];
    const startedAt = performance.now();
    const child = await this.node(
      [...SMALL_HEAP, ...flags, program, ...AS_ONESELF, 'watch'],
      note,
      {
        KOPANO_SPAMD_LIB: lib,
        RSPAMD_URL: port.replace(/\d+/g, 'http://127.0.0.1:$&'),
        STATUS_LISTEN: statusListen,
      },
    );
    return { process: child, startedAt, firstAt, lastAt, counts };
  }

  /** Ends one in good order. */
  async stop(child: ServerProcess): Promise<void> {
    await child.stop();
    this.#running.delete(child);
  }

  async stopAll(): Promise<void> {
    for (const child of this.#running) await this.stop(child);
  }

  async killAll(): Promise<void> {
    for (const child of this.#running) await child.kill();
    this.#running.clear();
  }
}

/** A folder and the processes that work in it, until the work is done. */
export function withChildren<T>(
  work: (children: Children, folder: string) => Promise<T>,
): Promise<T> {
  return inScratch(async (folder) => {
    const children = new Children(folder);
    try {
      return await work(children, folder);
    } finally {
      await children.killAll();
    }
  });
}

/** Milliseconds that Node.js takes from start to end with these arguments, which must succeed. */
export function timeOf(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): number {
  const start = performance.now();
  execFileSync(process.execPath, args, { env: { ...process.env, ...environment } });
  return performance.now() - start;
}

/**
 * Waits until `isSo` answers true; resolves to the time (performance.now).
 * @throws when the child ends first
 */
export async function until(
  what: string,
  child: ServerProcess,
  isSo: () => boolean,
): Promise<number> {
  const start = performance.now();
  while (!isSo()) {
    if (!child.running || performance.now() - start > PATIENCE_MS) {
      throw new Error(`waited in vain for ${what}\n${child.tailOfOutput()}`);
    }
    await sleep(POLL_MS);
  }
  return performance.now();
}
