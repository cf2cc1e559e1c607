import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { findProgram } from '../../src/servers/programs.ts';
import { commanderProgram } from './run.ts';
import { call } from './run-cli.ts';
import type { Result } from './run-cli.ts';

/**
 * Runs commands of the program where this process can't: as another user, or in other namespaces.
 * One process for each such place does them one after the other, and ends with this one.
 */

interface Order {
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

/** Runs a command in this process, which looks its helpers up in the environment's PATH. */
export async function callWithPath({ args, environment }: Order): Promise<Result> {
  const before = process.env['PATH'];
  process.env['PATH'] = environment['PATH'];
  try {
    return await call(args, environment);
  } finally {
    process.env['PATH'] = before;
  }
}

const places = new Map<string, ChildProcess>();

/** @param through a command that runs the one that follows it, and becomes it */
export async function callThrough(through: readonly string[], order: Order): Promise<Result> {
  const place = through.join(' ');
  const commander = places.get(place) ?? begin(through);
  places.set(place, commander);
  commander.send(order);
  commander.channel?.ref();
  const [result] = (await once(commander, 'message')) as [Result];
  commander.channel?.unref();
  return result;
}

function begin([name = '', ...words]: readonly string[]): ChildProcess {
  const child = fork(commanderProgram(), {
    cwd: '/',
    execPath: findProgram(name, process.env['PATH']) ?? name,
    execArgv: [...words, process.execPath],
  });
  child.unref();
  return child;
}

// As a child process.
if (process.argv[1]?.endsWith('commander.mjs') === true) {
  process.on('message', (order) => {
    void callWithPath(order as Order).then((result) => process.send?.(result));
  });
}
