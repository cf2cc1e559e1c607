import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { tmpdir, userInfo } from 'node:os';
import { codeOf } from '../../errors.ts';
import { MessageFolder, removeLeftovers } from './message-folder.ts';
import { AccountReader, effectsOf } from './sa-learn-output.ts';
import type { Account, Action, Effect } from './sa-learn-output.ts';

/**
 * One run of `sa-learn` over a list of messages, one process at a time.
 * - It holds the lock of Bayes from its first message to its end, and the filter waits up to ten seconds
 *   for that: after five the messages that it hasn't come near are taken from it, and it ends by itself.
 * - Its start takes half a second, in which the messages may still gather: it waits for the list of them.
 * - It is ended by SIGTERM and never killed: killed, it leaves a lock for ten minutes and messages that
 *   are counted and not known. It heeds SIGTERM only from its first message on (tried on 4.0.1); before
 *   that its messages are taken from it instead.
 */

export interface SaLearnOptions {
  /** The path of `sa-learn`. */
  readonly program: string;
  /** Where the messages lie meanwhile. @defaultValue that of the system (`TMPDIR`) */
  readonly temporary?: string | undefined;
  /** @defaultValue 610 s: it waits up to 600 s for the lock of Bayes */
  readonly patienceMs?: number | undefined;
  /** How long a run may hold the lock. @defaultValue 5 s */
  readonly holdMs?: number | undefined;
  /** How long an aborted run is waited for; the next one does wait for its end. @defaultValue 5 s */
  readonly leaveMs?: number | undefined;
}

export type RunResult =
  /** What became of each message that it came to: of all, or of the first ones. */
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

/** What a run does with a message. */
export interface Task {
  readonly action: Action;
  readonly body: Buffer;
}

/** Messages for one run, which may still gather. */
export interface Batch<Each extends Task = Task> {
  /** All of them are to be forgotten; or none is. */
  readonly forgets: boolean;
  /** All of them, what is spam first: that is its order, whatever the list says. Never rejects. */
  readonly tasks: Promise<readonly Each[]>;
}

const PATIENCE_MS = 610_000;
const HOLD_MS = 5_000;
const LEAVE_MS = 5_000;
/** So many messages it may have begun with while what it said was on its way. */
const NEAR = 25;
const OUTPUT_BYTES = 4_096;
const ARGS = ['-L', '--max-size', '0', '-D', 'bayes,learn'];

export class SaLearn {
  readonly #options: SaLearnOptions;
  readonly #temporary: string;
  #isTidy = false;
  /** Resolves when the process of the last run is gone. */
  #gone: Promise<void> = Promise.resolve();

  constructor(options: SaLearnOptions) {
    this.#options = options;
    this.#temporary = options.temporary ?? tmpdir();
  }

  /**
   * Teaches the messages, or has them forgotten, once the process of the run before is gone; that run
   * must be over. Never rejects.
   */
  async run(batch: Batch, signal: AbortSignal): Promise<RunResult> {
    await this.#gone;
    if (signal.aborted) return { kind: 'aborted' };
    let folder: MessageFolder;
    try {
      if (!this.#isTidy) await removeLeftovers(this.#temporary);
      this.#isTidy = true;
      folder = await MessageFolder.make(this.#temporary);
    } catch (error) {
      return this.#withoutRoom(error);
    }
    try {
      return await this.#start(batch, folder, signal);
    } catch (error) {
      // Only some errors of a start are events: ENOTDIR, ELOOP and ENOMEM are thrown.
      return faultOf(codeOf(error) ?? 'UNKNOWN', String(error));
    } finally {
      await folder.remove();
    }
  }

  #start(batch: Batch, folder: MessageFolder, signal: AbortSignal): Promise<RunResult> {
    const { leaveMs = LEAVE_MS, patienceMs = PATIENCE_MS, holdMs = HOLD_MS } = this.#options;
    const reader = new AccountReader(batch.forgets);
    const child = this.#spawn(batch.forgets, folder);
    let output = '';
    let end: End | undefined;
    let leaving: NodeJS.Timeout | undefined;
    let holding: NodeJS.Timeout | undefined;
    return new Promise((resolve) => {
      const abort = (): void => {
        end ??= 'aborted';
        if (reader.begun > 0) child.kill('SIGTERM');
        else folder.keep(0);
        leaving ??= setTimeout(resolve, leaveMs, { kind: 'aborted' }).unref();
      };
      const patience = setTimeout(() => {
        end ??= 'LATE';
        child.kill('SIGTERM');
      }, patienceMs);
      signal.addEventListener('abort', abort);
      child.stdout?.setEncoding('utf8').on('data', (text: string) => {
        output = (output + text).slice(-OUTPUT_BYTES);
      });
      child.stderr?.setEncoding('utf8').on('data', (text: string) => {
        reader.push(text);
        if (reader.begun === 0) return;
        holding ??= setTimeout(() => folder.keep(reader.begun + NEAR), holdMs);
      });
      give(child, batch, folder, () => end === undefined).catch((error: unknown) => {
        // Its list is empty then, so that it ends by itself.
        end ??= this.#withoutRoom(error);
      });
      this.#gone = endOf(child).then((own) => {
        for (const each of [patience, leaving, holding]) clearTimeout(each);
        signal.removeEventListener('abort', abort);
        end ??= own;
        resolve(resultOf(end, reader.account(output), folder.count));
      });
    });
  }

  #withoutRoom(error: unknown): RunFault {
    const text = `no temporary file can be written in ${this.#temporary}`;
    return faultOf('TEMPORARY', `${text} (${codeOf(error) ?? String(error)})`);
  }

  #spawn(forgets: boolean, folder: MessageFolder): ChildProcess {
    return spawn(this.#options.program, [...ARGS, ...(forgets ? ['--forget'] : []), '-f', '-'], {
      cwd: folder.path,
      env: environmentOf(process.env),
      // In a session of its own: a terminal's Ctrl-C is for this process to act upon.
      detached: true,
    });
  }
}

/** Why a run is over: an exit code, a signal's name, `LATE`, `aborted`, or what kept it from learning. */
type End = number | string | RunFault;

function endOf(child: ChildProcess): Promise<End> {
  return new Promise((resolve) => {
    child.on('error', (error) => resolve(faultOf(codeOf(error) ?? 'UNKNOWN', error.message)));
    child.on('close', (code, signal) => resolve(code ?? signal ?? 'UNKNOWN'));
  });
}

/**
 * Gives it the messages once they are there, or none when they are no longer wanted.
 * @throws the system's error when they can't be written
 */
async function give(
  { stdin }: ChildProcess,
  { tasks }: Batch,
  folder: MessageFolder,
  isWanted: () => boolean,
): Promise<void> {
  // It may end before it has read all.
  stdin?.on('error', () => undefined);
  let list = '';
  try {
    const all = await tasks;
    for (const task of all) if (isWanted()) await folder.add(task.body);
    if (isWanted()) list = listOf(all);
  } finally {
    stdin?.end(list);
  }
}

/** A file is one message always, whatever is in it. Messages to forget may be of either class. */
function listOf(tasks: readonly Task[]): string {
  const line = ({ action }: Task, index: number): string =>
    `${action === 'spam' ? 'spam' : 'ham'}:file:${index}\n`;
  return tasks.map(line).join('');
}

function resultOf(end: End, account: Account, given: number): RunResult {
  if (end === 'aborted') return { kind: 'aborted' };
  if (typeof end === 'object') return end;
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
