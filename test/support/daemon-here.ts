import { setMaxListeners } from 'node:events';
// Now, as the command line would do at the first start: a busy machine needs seconds for it.
import '../../src/daemon/watch.ts';
import { Daemon, Output } from '../lab/daemon.ts';
import type { Settings } from '../lab/daemon.ts';
import { call } from './run-cli.ts';

/**
 * Starts a daemon in this process: the program from its command line to its last byte of log, without
 * half a second of CPU time for the start. SIGHUP and SIGTERM reach it as calls; it can't be killed or
 * frozen.
 */
export function startHere(args: readonly string[], settings: Settings): Daemon {
  const output = new Output();
  let stderr = '';
  const stop = new AbortController();
  setMaxListeners(0, stop.signal);
  const hangups: (() => void)[] = [];
  const ended = call(args, settings, {
    stop: stop.signal,
    onHangup: (callback) => hangups.push(callback),
    onOut: output.take,
    onErr: (text) => (stderr += text),
  }).then(({ code }) => code ?? 0);
  return new Daemon(output, {
    ended,
    stderr: () => stderr,
    signal: (signal) => {
      if (signal !== 'SIGHUP') stop.abort();
      else for (const callback of hangups) callback();
    },
    kill: () => {
      stop.abort();
      return ended;
    },
  });
}
