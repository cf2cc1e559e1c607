import { spawn } from 'node:child_process';
import { Readable } from 'node:stream';
import { runCli as runInProcess } from '../../src/cli.ts';
import { asOneself, program } from './run.ts';

export interface Result {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

interface RunOptions {
  readonly uid?: number;
  readonly gid?: number;
  /** A descriptor. @defaultValue what comes out is in the result */
  readonly stdout?: number;
  /** Words for Node.js itself. */
  readonly node?: readonly string[];
}

/** A command that runs in this process, while it runs. */
export interface Watching {
  /** As a SIGINT. */
  readonly stop?: AbortSignal;
  /** Takes what a SIGHUP does. */
  readonly onHangup?: (callback: () => void) => void;
  readonly onOut?: (text: string) => void;
  /** What it says on standard error. */
  readonly onErr?: (text: string) => void;
  readonly input?: string | Buffer;
  /** Standard output and standard error are terminals that wide. @defaultValue they are pipes */
  readonly columns?: number;
  /** journald reads both. */
  readonly isJournal?: boolean;
}

/**
 * Runs a command with nothing in its environment but PATH and these variables: in this process, or
 * as the bundled program where the command needs another user, PATH or standard output.
 */
export function runCli(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  options?: RunOptions,
): Promise<Result> {
  const settings = { PATH: process.env['PATH'] ?? '', STATUS_LISTEN: 'off', ...environment };
  return options === undefined && !('PATH' in environment)
    ? call(args, settings)
    : start(args, settings, options);
}

/** Runs a command in this process. */
export async function call(
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
  watching: Watching = {},
): Promise<Result> {
  const { stop = new AbortController().signal, onHangup, onOut, onErr, input = '' } = watching;
  const { columns, isJournal = false } = watching;
  const terminal = columns === undefined ? undefined : { columns, hasColour: false };
  const out: Buffer[] = [];
  let err = '';
  const code = await runInProcess({
    // The bare name shows the help on a terminal, and `--user` beside it is `watch`.
    args: terminal !== undefined && args.length === 0 ? [] : [...asOneself(), ...args],
    environment,
    stop,
    onHangup: (callback) => onHangup?.(callback),
    onCrash: () => undefined,
    identity: {
      uid: process.geteuid?.() ?? 0,
      gid: process.getegid?.() ?? 0,
      groups: process.getgroups?.() ?? [],
    },
    out: (text) => {
      out.push(Buffer.from(text));
      onOut?.(text);
    },
    outBytes: (bytes) => {
      out.push(Buffer.from(bytes));
      return Promise.resolve();
    },
    outputFault: () => undefined,
    terminal,
    isJournal,
    err: (text) => {
      err += text;
      onErr?.(text);
    },
    errTerminal: terminal,
    stdin: () => Readable.from([Buffer.from(input)]),
    // The spools of tests are those of who runs them.
    runAs: () => Promise.reject(new Error('it would run as somebody else')),
  });
  return { code, out: Buffer.concat(out).toString(), err };
}

/** Runs the bundled program. */
export function start(
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
  options: RunOptions = {},
): Promise<Result> {
  const { stdout = 'pipe', node = [], ...user } = options;
  return new Promise((resolve, reject) => {
    const itself = options.uid === undefined ? asOneself() : [];
    const child = spawn(process.execPath, [...node, program(), ...itself, ...args], {
      env: environment,
      stdio: ['ignore', stdout, 'pipe'],
      timeout: 120_000,
      ...user,
    });
    let out = '';
    let err = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (out += text));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (err += text));
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, out, err }));
  });
}
