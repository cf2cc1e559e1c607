#!/usr/bin/env node
import { setMaxListeners } from 'node:events';
import { runCli } from './cli.ts';
import { EXIT } from './errors.ts';
import { stdoutWriter } from './logger.ts';

/** The process: signals in, exit code out. Nothing else may end it. */

const stop = new AbortController();
// Every message in flight listens.
setMaxListeners(0, stop.signal);
const hangups: (() => void)[] = [];

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    if (stop.signal.aborted) process.exit(EXIT.failure);
    stop.abort();
  });
}
process.on('SIGHUP', () => {
  for (const callback of hangups) callback();
});

process.exit(
  await runCli({
    args: process.argv.slice(2),
    environment: process.env,
    stop: stop.signal,
    onHangup: (callback) => hangups.push(callback),
    identity: { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 },
    out: stdoutWriter(),
    err: (text) => process.stderr.write(text),
    isTerminal: process.stderr.isTTY,
    stdin: () => process.stdin,
  }),
);
