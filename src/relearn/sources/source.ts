import type { Verdict } from '../../verdict.ts';

/**
 * What a source of `relearn` is, and what reading one comes upon. Sources are never changed.
 *
 * A `place` says where something was found: the absolute path, percent-encoded as in `place.ts`, and
 * `#N` for the second and every further message of an mbox (the first one's place must not depend on
 * whether another follows). It is unique within a run, as long as no two sources overlap, and the
 * same in the next one. Standard input's is `-`. A `folder` is the place of the mail folder that a
 * message lies in: a Maildir, any other folder of files, or an mbox of several messages.
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
  /** What isn't mail; `reason` in plain words. */
  | { readonly kind: 'skipped'; readonly place: string; readonly reason: string }
  /** A message that is not taught: deleted, or in a folder such as Junk under ham. */
  | {
      readonly kind: 'passed';
      readonly place: string;
      readonly reason: string;
      readonly folder?: string;
      /** It is its folder that is passed over. */
      readonly isByFolder?: boolean;
    }
  /** What should have been read and couldn't be, in whole or in part. */
  | { readonly kind: 'failed'; readonly place: string; readonly reason: string }
  /** In the daemon's archive: a newer file of the same name counts instead. */
  | { readonly kind: 'older'; readonly place: string }
  /** `isDone` said so; its body was not kept. */
  | { readonly kind: 'done'; readonly place: string; readonly folder?: string };

export type Message = Extract<Found, { readonly kind: 'message' }>;
export type NotMessage = Exclude<Found, { readonly kind: 'message' }>;

export interface Source {
  /** As the operator named it, cleaned for people. */
  readonly name: string;
  readonly verdict: Verdict;
  /** Reads it once, from the beginning, lazily: nothing is read ahead of the consumer. */
  read(): AsyncGenerator<Found, void, undefined>;
  /**
   * How many messages it holds in all, as well as can be told; `undefined` while it can't. Messages,
   * those done before and those that failed count; it is exact once all is read.
   */
  readonly expected: number | undefined;
  /**
   * Counts what can be counted without reading contents (the entries of folders), in slices that
   * leave the event loop to others. Never throws; what it can't list it leaves to the reading.
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
