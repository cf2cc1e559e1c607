import { tmpdir } from 'node:os';
import { EXIT, OperatorError, errnoOf } from '../errors.ts';
import { clean } from '../text.ts';

/** The faults of an evaluation that have nothing to do with its servers, each with its cure. */

/**
 * Does something in the temporary folder.
 * @param what finds no room there when the disk is full
 * @throws {OperatorError} `evaluate.disk` for the system's errors
 */
export function onDisk<T>(what: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw errnoOf(error) === undefined ? error : diskFault(error, what);
  }
}

/** @param error the system's @param what that finds no room */
export function diskFault(error: unknown, what: string): OperatorError {
  return new OperatorError({
    code: 'evaluate.disk',
    message: `${what} can't be written to ${tmpdir()} (${errnoOf(error) ?? 'unknown'})`,
    hint: 'set TMPDIR to a folder that this user may write to, with as much room as the messages take unpacked',
    exitCode: EXIT.failure,
  });
}

/** @param shut a folder on the way that root's servers, who are nobody, may not enter */
export function shutFolder(shut: string): OperatorError {
  return new OperatorError({
    code: 'evaluate.disk',
    message: `the private servers run as nobody, who may not enter ${shut}, the way to ${tmpdir()}`,
    hint: 'set TMPDIR to a folder that everybody may enter, such as TMPDIR=/var/tmp',
    exitCode: EXIT.failure,
  });
}

/** @param why the system's code, or what stands there */
export function outputFault(path: string, why: string): OperatorError {
  return new OperatorError({
    code: 'evaluate.output',
    message: `${clean(path, 1_000)} can't be written (${why})`,
    hint: `name a file in a folder that this user (uid ${process.geteuid?.() ?? 0}) may write to and that has room`,
    exitCode: EXIT.failure,
  });
}

export function sameOutput(path: string): OperatorError {
  return new OperatorError({
    code: 'usage.output-twice',
    message: `${clean(path, 1_000)} is named by --out and by --html`,
    hint: 'name two files',
    exitCode: EXIT.usage,
  });
}

/** @param folds how many the messages are dealt to */
export function tooFew(verdict: string, count: number, folds: number): OperatorError {
  return new OperatorError({
    code: 'evaluate.too-few',
    message: `${count === 0 ? 'no' : `only ${count}`} ${verdict} to judge, and ${folds} folds need at least ${2 * folds} messages of each class (duplicates and what is too short for Bayes left out)`,
    hint: `name more ${verdict}, or use fewer folds: --folds 2 is the least`,
    exitCode: EXIT.usage,
  });
}

export function interrupted(): OperatorError {
  return new OperatorError({
    code: 'evaluate.interrupted',
    message: 'evaluate was interrupted; its servers have ended, and nothing was written',
    hint: 'say it again; it begins anew',
    exitCode: EXIT.temporary,
  });
}
