import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import path from 'node:path';
import { codeOf } from '../../errors.ts';
import { AccountReader, effectsOf } from './sa-learn-output.ts';
import type { Action, Effect } from './sa-learn-output.ts';

/**
 * One run of `sa-learn` over a list of messages. They lie in a temporary folder of this user alone, by
 * numbers, because `sa-learn` globs names. There is one process at a time. It is ended by SIGTERM and
 * never killed: killed, it leaves a lock for ten minutes and messages that are counted and not known. It
 * heeds SIGTERM only from its first message on (tried on 4.0.1); before that its messages are taken from
 * it instead, and it ends by itself.
 */

export interface SaLearnOptions {
  /** The path of `sa-learn`. */
  readonly program: string;
  /** Where the messages lie meanwhile. @defaultValue that of the system (`TMPDIR`) */
  readonly temporary?: string | undefined;
  /** @defaultValue 610 s: it waits up to 600 s for the lock of Bayes */
  readonly patienceMs?: number | undefined;
  /** How long an aborted run is waited for; the next one does wait for its end. @defaultValue 5 s */
  readonly leaveMs?: number | undefined;
}

export type RunResult =
  /** What became of each message. */
  | { readonly kind: 'done'; readonly effects: readonly Effect[] }
  | RunFault
  | { readonly kind: 'aborted' };

export interface RunFault {
  readonly kind: 'fault';
  /**
   * The exit code; a signal's name; the system's error code where it could not be started; or
   * `TEMPORARY`: the messages could not be written for it, `LATE`: it took too long, `UNLIKE`: what it
   * says of the messages doesn't fit what it was given.
   */
  readonly code: number | string;
  /** What it said last, or what was wrong. */
  readonly text: string;
  /** The message at which it ended, where that shows. */
  readonly at: number | undefined;
}

const PATIENCE_MS = 610_000;
const LEAVE_MS = 5_000;
const OUTPUT_BYTES = 4_096;
const PREFIX = 'kopano-learnd-sa-learn-';
/** With the process id it names one process. */
const STARTED = Math.round(performance.timeOrigin).toString(36);
const ARGS = ['-L', '--max-size', '0', '-D', 'bayes,learn'];

export class SaLearn {
  readonly #options: SaLearnOptions;
  readonly #temporary: string;
  #isTidy = false;
  /** Resolves when the process that runs is gone. */
  #gone: Promise<void> = Promise.resolve();
  /** Resolves when all that were asked for are. */
  #last: Promise<void> = Promise.resolve();

  constructor(options: SaLearnOptions) {
    this.#options = options;
    this.#temporary = options.temporary ?? tmpdir();
  }

  /** Teaches the messages, or has them forgotten, when earlier runs are over. Never rejects. */
  run(action: Action, bodies: readonly Buffer[], signal: AbortSignal): Promise<RunResult> {
    const result = this.#last.then(() => this.#run(action, bodies, signal));
    this.#last = result.then(() => this.#gone);
    return result;
  }

  async #run(action: Action, bodies: readonly Buffer[], signal: AbortSignal): Promise<RunResult> {
    if (signal.aborted) return { kind: 'aborted' };
    let folder: string | undefined;
    try {
      if (!this.#isTidy) await removeLeftovers(this.#temporary);
      this.#isTidy = true;
      // It must not be seen by whoever owns the place of temporary files.
      folder = await mkdtemp(path.join(this.#temporary, `${PREFIX}${process.pid}-${STARTED}-`));
      await writeAll(folder, bodies);
      return await this.#start(action, bodies.length, folder, signal);
    } catch (error) {
      const text = `no temporary file can be written in ${this.#temporary}`;
      return faultOf('TEMPORARY', `${text} (${codeOf(error) ?? String(error)})`);
    } finally {
      if (folder !== undefined) await remove(folder);
    }
  }

  #start(action: Action, given: number, folder: string, signal: AbortSignal): Promise<RunResult> {
    const reader = new AccountReader(action);
    let output = '';
    let ended: 'LATE' | 'aborted' | undefined;
    return new Promise((resolve) => {
      const child = this.#spawn(action, folder);
      const abort = (): void => {
        ended ??= 'aborted';
        if (reader.hasBegun) child.kill('SIGTERM');
        else void remove(folder);
        leaving ??= setTimeout(() => {
          resolve({ kind: 'aborted' });
        }, this.#options.leaveMs ?? LEAVE_MS).unref();
      };
      let leaving: NodeJS.Timeout | undefined;
      const timer = setTimeout(() => {
        ended ??= 'LATE';
        child.kill('SIGTERM');
      }, this.#options.patienceMs ?? PATIENCE_MS);
      signal.addEventListener('abort', abort);
      const settle = (result: RunResult): void => {
        clearTimeout(timer);
        clearTimeout(leaving);
        signal.removeEventListener('abort', abort);
        resolve(ended === 'aborted' ? { kind: 'aborted' } : result);
      };
      child.stdout?.setEncoding('utf8').on('data', (text: string) => {
        output = (output + text).slice(-OUTPUT_BYTES);
      });
      child.stderr?.setEncoding('utf8').on('data', (text: string) => {
        reader.push(text);
      });
      // It may end before it has read all.
      child.stdin?.on('error', () => undefined).end(listOf(action, given));
      this.#gone = new Promise<void>((gone) => {
        child.once('error', (error) => {
          settle(faultOf(codeOf(error) ?? 'UNKNOWN', error.message));
          gone();
        });
        child.once('close', (code, signalName) => {
          const end = ended === 'LATE' ? ended : (code ?? signalName ?? 'UNKNOWN');
          settle(resultOf(end, reader.account(output), given));
          gone();
        });
      });
    });
  }

  #spawn(action: Action, folder: string): ChildProcess {
    const forget = action === 'forget' ? ['--forget'] : [];
    return spawn(this.#options.program, [...ARGS, ...forget, '-f', '-'], {
      cwd: folder,
      env: environmentOf(process.env),
      // In a session of its own: a terminal's Ctrl-C is for this process to act upon.
      detached: true,
    });
  }
}

/** A file is one message always, whatever is in it. Messages to forget may be of either class. */
function listOf(action: Action, count: number): string {
  const verdict = action === 'forget' ? 'ham' : action;
  return Array.from({ length: count }, (_, index) => `${verdict}:file:${index}\n`).join('');
}

function resultOf(
  end: number | string,
  account: ReturnType<AccountReader['account']>,
  given: number,
): RunResult {
  const { effects, examined, complaint } = account;
  const done = end === 0 ? effectsOf(account, given) : undefined;
  if (done !== undefined) return { kind: 'done', effects: done };
  if (end === 0) return faultOf('UNLIKE', `it examined ${examined} of ${given} messages`);
  const at = effects.at(-1) === undefined && effects.length > 0 ? effects.length - 1 : undefined;
  return faultOf(end, complaint, at);
}

function faultOf(code: number | string, text: string, at?: number): RunFault {
  return { kind: 'fault', code, text, at };
}

/**
 * `sa-learn` finds the home of its user by itself. What is in HOME may be that of whoever became this
 * user; it counts where the user has no name, and so no home.
 */
function environmentOf(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...environment, LC_ALL: 'C' };
  if (hasHome()) delete env['HOME'];
  return env;
}

function hasHome(): boolean {
  try {
    return userInfo().homedir !== '';
  } catch {
    return false; // no such user
  }
}

async function writeAll(folder: string, bodies: readonly Buffer[]): Promise<void> {
  const write = (body: Buffer, index: number): Promise<void> =>
    writeFile(path.join(folder, String(index)), body, { flag: 'wx', mode: 0o600 });
  await Promise.all(bodies.map(write));
}

/** What can't be removed is no reason to learn nothing. */
async function remove(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true }).catch(() => undefined);
}

/**
 * Removes what killed processes of this user left. An `sa-learn` that outlived one, and waits for the
 * lock, learns nothing of it any more.
 */
async function removeLeftovers(temporary: string): Promise<void> {
  for (const name of await readdir(temporary)) {
    const [, pid, started] = /^kopano-learnd-sa-learn-(\d+)-([0-9a-z]+)-\w{6}$/.exec(name) ?? [];
    if (pid === undefined || isAlive(Number(pid), started)) continue;
    const place = path.join(temporary, name);
    const owner = await stat(place).then(
      ({ uid }) => uid,
      () => undefined,
    );
    if (owner === process.geteuid?.()) await remove(place);
  }
}

function isAlive(pid: number, started: string | undefined): boolean {
  // In a container each start has the same process id.
  if (pid === process.pid) return started === STARTED;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
}
