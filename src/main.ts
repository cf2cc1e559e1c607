#!/usr/bin/env node
import { setMaxListeners } from 'node:events';
import { isatty } from 'node:tty';
import { formatBug } from './bugs.ts';
import { EXIT, OperatorError, errnoOf, formatError } from './errors.ts';
import type { ExitCode } from './errors.ts';

/** The process: signals in, exit code out. Nothing else may end it. */

const stop = new AbortController();
// Every message in flight listens.
setMaxListeners(0, stop.signal);
const hangups: (() => void)[] = [];
/** What went wrong with standard output, but for a reader that went away and had what it wanted. */
let outputFault: string | undefined;
/** Tells of the error that ends the process. */
let tellCrash = (error: unknown): void => {
  process.stderr.write(formatBug(error));
};

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    if (stop.signal.aborted) process.exit(EXIT.failure);
    stop.abort();
  });
}
process.on('SIGHUP', () => {
  for (const callback of hangups) callback();
});
// What it leaves behind is unknown: the queue is on the disk, and a new process starts from there.
process.on('uncaughtException', (error) => {
  try {
    tellCrash(error);
  } finally {
    process.exit(EXIT.failure);
  }
});

const args = process.argv.slice(2);
process.exit(args.length === 1 && args[0] === 'health' ? await checkHealth() : await run());

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
    isTerminal: isatty(1),
    err: (text) => process.stderr.write(text),
    errIsTerminal: isatty(2),
    stdin: () => process.stdin,
  });
}

/** The short way to the one command that is run every few seconds. */
async function checkHealth(): Promise<ExitCode> {
  const { health } = await import('./status/health.ts');
  const out = (text: string): boolean => process.stdout.write(text);
  try {
    return await health({ environment: process.env, out });
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    process.stderr.write(formatError(error));
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
  return new Promise((resolve) => {
    stdout.write(bytes, () => {
      resolve();
    });
  });
}
