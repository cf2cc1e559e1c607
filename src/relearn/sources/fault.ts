import { errnoOf } from '../../errors.ts';
import type { NotMessage } from './source.ts';
import { REASON } from './source.ts';

/** Faults of the file system and of contents, in plain words. */

/** Contents that can't be read on: `message` says why, in the words of a `failed`. */
export class BrokenContents extends Error {
  override readonly name = 'BrokenContents';
}

/** `EACCES: permission denied`: the system's words, without the call and the path. */
export function wordsOf(error: unknown): string | undefined {
  if (error instanceof BrokenContents) return error.message;
  const errno = errnoOf(error);
  if (errno === undefined || !(error instanceof Error)) return undefined;
  return /^E[A-Z0-9]+: [^,]+/.exec(error.message)?.[0] ?? errno;
}

/**
 * What became of an entry of a folder that could not be opened.
 * @throws the error, when it is none of the system's
 */
export function entryFault(error: unknown, place: string): NotMessage {
  const reason = wordsOf(error);
  if (reason === undefined) throw error;
  switch (errnoOf(error)) {
    case 'ENOENT':
      return { kind: 'failed', place, reason: REASON.vanished };
    case 'ELOOP':
      return { kind: 'skipped', place, reason: REASON.symlink };
    // a socket
    case 'ENXIO':
      return { kind: 'skipped', place, reason: REASON.notRegular };
    default:
      return { kind: 'failed', place, reason };
  }
}
