import { resolve } from 'node:path';
import { errnoOf } from '../../errors.ts';
import type { Verdict } from '../../verdict.ts';

/**
 * What a source of `relearn` is, what reading it finds, and how what goes wrong is called. Sources are
 * never changed.
 *
 * A `place` says where something was found: the absolute path, harmless as of {@link encodePlace}, and
 * `#N` for the second and every further message of an mbox. A place is unique in a run and the same in
 * the next one. A `folder` is the place of the mail folder that a message lies in: a Maildir, any other
 * folder of files, or an mbox of several messages.
 */
export type Found =
  | {
      readonly kind: 'message';
      readonly place: string;
      readonly body: Buffer;
      readonly folder?: string;
      /** In an mbox of several messages, which the place of the first one leads to as a whole. */
      readonly isOneOfSeveral?: true | undefined;
      /** When its file was last changed, in milliseconds since the epoch; of standard input unknown. */
      readonly mtimeMs?: number | undefined;
    }
  /** Not mail, or what should have been read and couldn't be, in whole or in part. */
  | { readonly kind: 'notMail' | 'failed'; readonly place: string; readonly reason: string }
  /** Mail that is not taught: deleted, or in a folder such as Junk under ham. */
  | {
      readonly kind: 'passedOver';
      readonly place: string;
      readonly reason: string;
      readonly folder?: string;
      /** The reason is the folder's. */
      readonly isByFolder?: boolean;
    }
  /** In the daemon's archive: a newer file of the same name counts instead. */
  | { readonly kind: 'older'; readonly place: string }
  /** `isDone` said so; the body was not kept. */
  | { readonly kind: 'doneBefore'; readonly place: string; readonly folder?: string };

/** What counts as a message of a source: also those done before, and those that failed. */
export const COUNTED: ReadonlySet<Found['kind']> = new Set(['message', 'doneBefore', 'failed']);

export type Reading = AsyncGenerator<Found, void, undefined>;

export interface Source {
  /** As the operator named it, cleaned for people. */
  readonly name: string;
  readonly verdict: Verdict;
  /** Reads the source once, from the beginning; nothing is read ahead of the consumer. */
  read(): Reading;
  /**
   * How many {@link COUNTED} things the source holds, as well as can be told; `undefined` while nothing
   * can be told, exact once all is read.
   */
  readonly expected: number | undefined;
  /** Counts the files, without opening them. Never throws: the reading tells what can't be listed. */
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

/** The path, and the place, of standard input. */
export const STDIN = '-';

/** The place of a path of the command line; symlinks in it stay as they are. */
export function placeOf(path: string): string {
  return path === STDIN ? STDIN : encodePlace(Buffer.from(resolve(path)).toString('latin1'));
}

/**
 * A raw name or path (one character a byte) in one harmless line: bytes that aren't printable ASCII,
 * `%` and `#` become `%XX`.
 */
export function encodePlace(raw: string): string {
  return raw.replace(
    /[^ -~]|[%#]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  );
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
 * What became of an entry that could not be opened.
 * @throws the error, when the system is not to blame
 */
export function entryFault(error: unknown, place: string): Found {
  const reason = faultWords(error);
  if (reason === undefined) throw error;
  return { kind: 'failed', place, reason };
}
