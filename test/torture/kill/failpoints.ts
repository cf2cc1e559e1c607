import fs from 'node:fs';
import http from 'node:http';
import type { ClientRequest } from 'node:http';
import { syncBuiltinESMExports } from 'node:module';
import { placeOf } from './places.ts';
import { watchFileSystem } from '../../support/fs-steps.ts';

/**
 * Loaded into the program before itself: writes down every step that it takes on the spool, the
 * state dir and the network, and kills it at the one that `FAILPOINT_AT` names. A step is named by
 * what is done, where, and how often that has been done: `after renameSync queue/spam/* #1`.
 *
 * The name is written before the kill; a process that ended without its last word `KILLED` ended by
 * itself.
 */
const { FAILPOINT_LOG, FAILPOINT_AT, FAILPOINT_LIB = '', FAILPOINT_STATE = '' } = process.env;

if (FAILPOINT_LOG !== undefined) {
  const log = fs.openSync(FAILPOINT_LOG, 'a');
  const counts = new Map<string, number>();
  const pass = (what: string): void => {
    const count = (counts.get(what) ?? 0) + 1;
    counts.set(what, count);
    const step = `${what} #${count}`;
    fs.writeSync(log, `${step}\n`);
    if (step !== FAILPOINT_AT) return;
    fs.writeSync(log, 'KILLED\n');
    process.kill(process.pid, 'SIGKILL');
  };
  watchNetwork(pass);
  const where = (path: string): string | undefined =>
    placeOf(resolved(path), { lib: FAILPOINT_LIB, state: FAILPOINT_STATE });
  watchFileSystem(
    (path) => where(path) !== undefined,
    ({ when, call, path }) => {
      pass(`${when} ${call} ${where(path) ?? 'closed'}`);
    },
  );
}

/** Through the descriptors by which the program reaches what lies in a folder. */
function resolved(path: string): string {
  const [, descriptor, rest = ''] = /^(\/proc\/self\/fd\/\d+)(\/.*)?$/.exec(path) ?? [];
  if (descriptor === undefined) return path;
  try {
    return fs.readlinkSync(descriptor) + rest;
  } catch {
    return ''; // closed by now
  }
}

/** Of each request: it is made, all of it is sent, its answer has come. */
function watchNetwork(pass: (what: string) => void): void {
  const original = http.request;
  const request = (...args: Parameters<typeof original>): ClientRequest => {
    const made = original(...args);
    const what = `${made.method} ${made.path}`;
    pass(`before ${what}`);
    made.on('finish', () => {
      pass(`sent ${what}`);
    });
    made.prependListener('response', () => {
      pass(`answered ${what}`);
    });
    return made;
  };
  http.request = request as typeof original;
  syncBuiltinESMExports();
}
