/**
 * Errors that an operator can meet. Each says what went wrong and where (`message`), has a stable
 * `code` to search for, and a `hint`: the cure. Whoever catches one logs or prints it, once.
 */

/** Exit codes of every command (sysexits.h where it has a fitting one). */
export const EXIT = {
  done: 0,
  failure: 1,
  usage: 64,
  temporary: 75,
  configuration: 78,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export interface OperatorErrorOptions {
  /** Stable name of the fault, such as `state-dir.foreign`. */
  readonly code: string;
  /** What and where, one sentence. Never a secret, never a part of a mail. */
  readonly message: string;
  /** What to do about it. */
  readonly hint: string;
  readonly exitCode: ExitCode;
}

/** A fault with a cure, to be shown to the operator as it is. */
export class OperatorError extends Error {
  override readonly name = 'OperatorError';
  readonly code: string;
  readonly hint: string;
  readonly exitCode: ExitCode;

  constructor(options: OperatorErrorOptions) {
    super(options.message);
    this.code = options.code;
    this.hint = options.hint;
    this.exitCode = options.exitCode;
  }
}

/** How a fault is shown to an operator: what is wrong, and the cure. */
export function complaint(error: OperatorError): string {
  return `kopano-learnd: ${error.message}\ncure: ${error.hint}\n`;
}

/** The `code` of a Node.js system error (`ENOENT`, `EACCES`), `undefined` for anything else. */
export function errnoOf(error: unknown): string | undefined {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') {
    return error.code;
  }
  return undefined;
}
