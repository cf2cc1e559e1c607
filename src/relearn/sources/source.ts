import { errnoOf } from '../../errors.ts';
import type { Verdict } from '../../verdict.ts';

/**
 * What a source of `relearn` is, what reading a source finds, and the words for what goes wrong.
 * Sources are never changed.
 *
 * A `place` says where something was found: the absolute path, percent-encoded as in `place.ts`, and
 * `#N` for the second and every further message of an mbox (the place of the first message must not
 * depend on whether another one follows). A place is unique within a run as long as no two sources
 * overlap, and the same in the next run. The place of standard input is `-`. A `folder` is the place
 * of the mail folder that a message lies in: a Maildir, any other folder of files, or an mbox of
 * several messages.
 */
export type Found =
  | {
      readonly kind: 'message';
      readonly place: string;
      readonly body: Buffer;
      /** The body is what SpamAssassin had wrapped. */
      readonly isUnwrapped?: boolean;
      readonly folder?: string;
    }
  /** Not mail; `reason` in plain words. */
  | { readonly kind: 'skipped'; readonly place: string; readonly reason: string }
  /** A message that is not taught: deleted, or in a folder such as Junk under ham. */
  | {
      readonly kind: 'passed';
      readonly place: string;
      readonly reason: string;
      readonly folder?: string;
      /** The reason is the folder's. */
      readonly isByFolder?: boolean;
    }
  /** What should have been read and couldn't be, in whole or in part. */
  | { readonly kind: 'failed'; readonly place: string; readonly reason: string }
  /** In the daemon's archive: a newer file of the same name counts instead. */
  | { readonly kind: 'older'; readonly place: string }
  /** `isDone` said so; the body was not kept. */
  | { readonly kind: 'done'; readonly place: string; readonly folder?: string };

export type NotMessage = Exclude<Found, { readonly kind: 'message' }>;

export type Reading = AsyncGenerator<Found, void, undefined>;

export interface Source {
  /** As the operator named it, cleaned for people. */
  readonly name: string;
  readonly verdict: Verdict;
  /** Reads the source once, from the beginning, lazily: nothing is read ahead of the consumer. */
  read(): Reading;
  /**
   * How many messages the source holds, as well as can be told; `undefined` while nothing can be told.
   * Messages, those done before and those that failed count; exact once all is read.
   */
  readonly expected: number | undefined;
  /**
   * Counts what can be counted without reading contents (the entries of folders). Never throws; what
   * can't be listed is left to the reading.
   */
  count(signal: AbortSignal): Promise<void>;
}

export interface ReadingOptions {
  /** Larger messages fail, without being held in memory. In bytes. */
  readonly maxBytes: number;
  /** Asked for every message before its body is kept. */
  readonly isDone: (place: string) => boolean;
  /** Opens standard input; called once, when a source named `-` is read. */
  readonly stdin: () => AsyncIterable<Buffer>;
}

export const REASON = {
  empty: 'empty',
  notMail: 'not a mail message',
  symlink: 'a symbolic link, which is not followed',
  notRegular: 'not a regular file',
  hidden: 'its name begins with a dot',
  trashed: 'in the trash (Maildir flag T)',
  removed: 'deleted (as MH renames it)',
  backup: 'a backup copy',
  vanished: 'vanished',
  noMail: 'nothing of it is mail',
} as const;

export function overSize(bytes: number, maxBytes: number): string {
  return `over-size: ${bytes} bytes, LEARN_MAX_BYTES is ${maxBytes}`;
}

/** Contents that can't be read on: `message` says why, in the words of a `failed`. */
export class BrokenContents extends Error {
  override readonly name = 'BrokenContents';
}

/** `EACCES: permission denied`: the system's words, without the call and the path. */
export function faultWords(error: unknown): string | undefined {
  if (error instanceof BrokenContents) return error.message;
  const errno = errnoOf(error);
  if (errno === undefined || !(error instanceof Error)) return undefined;
  return /^E[A-Z0-9]+: [^,]+/.exec(error.message)?.[0] ?? errno;
}

/**
 * What became of an entry that could not be opened or read.
 * @throws the error, when neither the system nor the contents are to blame
 */
export function entryFault(error: unknown, place: string): NotMessage {
  const reason = faultWords(error);
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
