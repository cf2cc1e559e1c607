#!/usr/bin/env node
import { spawn, spawnSync } from 'node:child_process';
import { setMaxListeners } from 'node:events';
import { fstatSync } from 'node:fs';
import { addAbortSignal } from 'node:stream';
import { isatty } from 'node:tty';
import { formatBug } from './bugs.ts';
import { EXIT, OperatorError, errnoOf, formatError } from './errors.ts';
import type { ExitCode } from './errors.ts';
import type { Account } from './run-as.ts';
import type { Terminal } from './text.ts';

/** The process: signals in, exit code out. Nothing else may end it. */

const stop = new AbortController();
// Every message in flight listens.
setMaxListeners(0, stop.signal);
const hangups: (() => void)[] = [];
/** What went wrong with standard output, but for a reader that went away and had what it wanted. */
let outputFault: string | undefined;
/** Tells of the error that ends the process. */
let tellCrash = (error: unknown): void => writeErr(formatBug(error));

/** What a signal does here; while somebody else's process does the work, that one gets it. */
let onSignal = (signal: NodeJS.Signals): void => {
  if (signal === 'SIGHUP') for (const callback of hangups) callback();
  else if (stop.signal.aborted) process.exit(EXIT.failure);
  else stop.abort();
};
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  process.on(signal, () => onSignal(signal));
}
// What it leaves behind is unknown: the queue is on the disk, and a new process starts from there.
process.on('uncaughtException', (error) => {
  try {
    tellCrash(error);
  } finally {
    process.exit(EXIT.failure);
  }
});

checkNode();
const args = process.argv.slice(2);
process.exit(args.length === 1 && args[0] === 'health' ? await checkHealth() : await run());

/** An older one fails somewhere, by an error that tells nobody why. One before 14.8 can't read this. */
function checkNode(): void {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  process.stderr.write(
    `kopano-learnd: needs Node.js 20.19 or later; this is ${process.versions.node} (${process.execPath})\ncure: install Debian 13's nodejs or a newer one, first on the PATH\n`,
  );
  process.exit(EXIT.configuration);
}

function noteOutputFault(error: Error): void {
  const code = errnoOf(error) ?? error.message;
  if (code !== 'EPIPE') outputFault ??= code;
}

/** All commands. What they need is imported here: `health` is run too often to wait for it. */
async function run(): Promise<ExitCode> {
  const { runCli } = await import('./cli.ts');
  const { stdoutWriter } = await import('./logger.ts');
  return runCli({
    args,
    environment: process.env,
    stop: stop.signal,
    onHangup: (callback) => hangups.push(callback),
    onCrash: (callback) => (tellCrash = callback),
    identity: {
      uid: process.geteuid?.() ?? 0,
      gid: process.getegid?.() ?? 0,
      groups: process.getgroups?.() ?? [],
    },
    out: stdoutWriter(noteOutputFault),
    outBytes: writeBytes,
    outputFault: () => outputFault,
    terminal: terminalOf(1),
    isJournal: isJournal(),
    err: writeErr,
    errTerminal: terminalOf(2),
    stdin: () => addAbortSignal(stop.signal, process.stdin),
    runAs,
  });
}

/** `undefined` for what is no terminal: the stream of a pipe must not be opened (see below). */
function terminalOf(fd: 1 | 2): Terminal | undefined {
  if (!isatty(fd)) return undefined;
  const stream = fd === 1 ? process.stdout : process.stderr;
  return {
    // It may be made wider and narrower.
    get columns() {
      return stream.columns || 80;
    },
    hasColour: (process.env['NO_COLOR'] ?? '') === '',
  };
}

/** JOURNAL_STREAM, which children inherit, names the socket that leads there (systemd.exec(5)). */
function isJournal(): boolean {
  try {
    const { dev, ino } = fstatSync(1);
    return process.env['JOURNAL_STREAM'] === `${dev}:${ino}`;
  } catch {
    return false; // standard output is closed
  }
}

/**
 * Runs the same command as somebody else, in a session of its own: so each signal reaches it once, from
 * here, and not from the terminal, too.
 * @returns `undefined` where a stop came before that one listened to signals
 */
async function runAs(account: Account): Promise<ExitCode | undefined> {
  const { asAccount, refusalOf } = await import('./run-as.ts');
  const program = [process.execPath, ...process.argv.slice(1, 2)];
  const command = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const [setpriv = '', ...words] = asAccount(account, command);
  if (stop.signal.aborted) return undefined;
  const child = spawn(setpriv, words, { stdio: 'inherit', detached: true });
  onSignal = (signal) => child.kill(signal);
  const code = await new Promise<number | 'ENOENT' | 'unheard'>((resolve, reject) => {
    child.once('error', (error) => {
      if (errnoOf(error) === 'ENOENT') resolve('ENOENT');
      else reject(error);
    });
    child.once('exit', (status, signal) => {
      const isUnheard = signal === 'SIGTERM' || signal === 'SIGINT';
      resolve(status ?? (isUnheard ? 'unheard' : EXIT.failure));
    });
  });
  if (code === 'unheard') return undefined;
  const can = (...test: readonly string[]): boolean => {
    const [first = '', ...rest] = asAccount(account, test);
    return spawnSync(first, rest).status === 0;
  };
  const refusal = refusalOf(account, code, program, can);
  if (refusal !== undefined) throw refusal;
  return code as ExitCode;
}

/** A reader that goes away must end no command. Only when there is something to say: see below. */
function writeErr(text: string): void {
  const { stderr } = process;
  if (stderr.listenerCount('error') === 0) stderr.on('error', () => undefined);
  stderr.write(text);
}

/** The short way to the one command that is run every few seconds. */
async function checkHealth(): Promise<ExitCode> {
  const { health } = await import('./status/health.ts');
  const out = (text: string): boolean => process.stdout.write(text);
  try {
    return await health({ environment: process.env, out });
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    writeErr(formatError(error));
    return error.exitCode;
  }
}

/**
 * Not for the daemon: opening this stream makes a pipe non-blocking, which the log's synchronous
 * writes are not made for.
 */
function writeBytes(bytes: Uint8Array): Promise<void> {
  const { stdout } = process;
  if (stdout.listenerCount('error') === 0) stdout.on('error', noteOutputFault);
  return new Promise((resolve) => stdout.write(bytes, () => resolve()));
}
