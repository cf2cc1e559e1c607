/**
 * Errors that an operator can meet. Each says what went wrong and where (`message`), has a stable
 * `code` to search for, and a `hint`: the cure. Whoever catches one logs or prints it, once.
 */

import { wrap } from './text.ts';

/** Exit codes of every command (sysexits.h where it has a fitting one). */
export const EXIT = {
  done: 0,
  failure: 1,
  usage: 64,
  temporary: 75,
  configuration: 78,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

interface OperatorErrorOptions {
  /** Stable name of the fault, such as `state-dir.foreign`. */
  readonly code: string;
  /** What and where, one sentence. Never a secret, never a part of a mail. */
  readonly message: string;
  /** What to do about it. */
  readonly hint: string;
  /** What does that, to be pasted as root; a line each where there are several. */
  readonly command?: string | undefined;
  readonly exitCode: ExitCode;
}

/** A fault with a cure, to be shown to the operator as it is. */
export class OperatorError extends Error {
  override readonly name = 'OperatorError';
  readonly code: string;
  readonly hint: string;
  readonly command: string | undefined;
  readonly exitCode: ExitCode;

  constructor({ code, message, hint, command, exitCode }: OperatorErrorOptions) {
    super(message);
    this.code = code;
    this.hint = hint;
    this.command = command;
    this.exitCode = exitCode;
  }
}

/**
 * For people: the message and the cure, each wrapped; the command whole, on lines of its own.
 * @param columns how wide the terminal is. @defaultValue no line is broken
 */
export function formatError(error: OperatorError, columns = Infinity): string {
  const told = `kopano-learnd: ${error.message}\ncure: ${error.hint}`;
  const lines = told.split('\n').map((line) => `${wrap(line, columns, '    ')}\n`);
  const commands = error.command?.split('\n').map((command) => `  ${command}\n`) ?? [];
  return [...lines, ...commands].join('');
}

/** What is wrong with a setting, with what mends it where a command does. */
export interface SettingFault {
  /** A sentence without a secret. */
  readonly says: string;
  /** The settings that have their defaults meanwhile; none where it is no setting's. */
  readonly names?: readonly string[] | undefined;
  /** Where they are set: the settings file's path, or the environment. */
  readonly where?: string | undefined;
  /** To be pasted as root. */
  readonly command?: string | undefined;
}

/** Thrown by what reads a setting: `message` says what is wrong with it. */
export class SettingError extends Error {
  override readonly name = 'SettingError';
  readonly command: string | undefined;

  constructor(message: string, command?: string, cause?: unknown) {
    super(message, { cause });
    this.command = command;
  }
}

/**
 * Trouble on this machine that is neither a system error nor an error of this program: a helper that
 * was killed, a folder that was closed when a stop took too long. `message` says it.
 */
export class LocalFault extends Error {
  override readonly name = 'LocalFault';
}

/** The `code` of an error, whoever gave it (`ENOENT`, `HPE_INVALID_STATUS`, `ERR_INVALID_ARG_TYPE`). */
export function codeOf(error: unknown): string | undefined {
  const isCoded = error instanceof Error && 'code' in error && typeof error.code === 'string';
  return isCoded ? (error.code as string) : undefined;
}

/** The `code` of a system error (`ENOENT`, `EAI_AGAIN`); `undefined` for anything else. */
export function errnoOf(error: unknown): string | undefined {
  const code = codeOf(error);
  // ERR_INVALID_ARG_TYPE and its like are Node's word for a wrong call.
  return code !== undefined && /^E(?!RR_)[A-Z0-9_]+$/.test(code) ? code : undefined;
}

/**
 * Calls `act`, which asks the system for something.
 * @returns `undefined` where the system refuses it
 * @throws what is no system error
 */
export function ifAllowed<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return undefined;
  }
}

/** True for an error of this program: nothing that the system says, and nothing that was foreseen. */
export function isBug(error: unknown): boolean {
  const isForeseen = error instanceof OperatorError || error instanceof LocalFault;
  return !isForeseen && errnoOf(error) === undefined;
}
