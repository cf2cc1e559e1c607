import { createHash } from 'node:crypto';
import { hashOfBody, partsOf } from '../mail.ts';
import { keyLock } from '../spool/message-locks.ts';
import { sameStamp } from '../spool/message.ts';
import type { Stamp } from '../spool/message.ts';
import { clean } from '../text.ts';
import type { Verdict } from '../verdict.ts';
import type { Disposition } from './result.ts';

/** A message as its store names it; one that is no file, and so can't change, has no stamp. */
export interface MessageEntry {
  readonly verdict: Verdict;
  readonly key: string;
  readonly bytes: number;
  readonly stamp?: Stamp;
}

/** Whether two entries of one key are the same file. */
export function isSameFile({ stamp: a }: MessageEntry, { stamp: b }: MessageEntry): boolean {
  return a === undefined || b === undefined ? a === b : sameStamp(a, b);
}

/**
 * A message that is to be learned, and what happened to it so far. It lives in memory only: after a
 * restart the queue's folders are all there is.
 */
export class PendingMessage {
  entry: MessageEntry;
  /** The controllers, the preferred one first. */
  readonly preference: readonly string[];
  /** Only the backlog assigns it. */
  state: MessageState = { kind: 'out' };
  /** Known once the message was read. */
  identity: Identity | undefined;
  /** Times that it was posted, each with its proof. */
  tries = 0;
  failures = new Failures();
  proof = new ProofRecord();
  /** Reached; only moving the file failed. */
  disposition: Disposition | undefined;

  constructor(entry: MessageEntry, preference: readonly string[]) {
    this.entry = entry;
    this.preference = preference;
  }

  /** True when others were proven around its failures. */
  get isGuilty(): boolean {
    return this.failures.charges + this.failures.repeats > 0;
  }

  /** The file is another one now: what was known of the earlier one is forgotten. */
  renew(entry: MessageEntry): void {
    Object.assign(this, new PendingMessage(entry, this.preference));
  }
}

/** Where a message stands. Times are monotonic, in milliseconds. */
export type MessageState =
  /** In line; not before `dueAt`: it settles. */
  | { readonly kind: 'pending'; readonly dueAt: number }
  /** Failed; it gets in line again at `dueAt`. */
  | { readonly kind: 'deferred'; readonly dueAt: number }
  | { readonly kind: 'inFlight' }
  /** Failed, and left to a scan for want of room. */
  | { readonly kind: 'onDisk'; readonly dueAt: number }
  /** Out of the backlog: it ended, or waits in `relearn`'s proof sampler. */
  | { readonly kind: 'out' };

/** What speaks against a message. */
class Failures {
  /** A try failed, or was not proven. */
  any = false;
  /** Failures that count against it: others were proven before and after. */
  charges = 0;
  /** Failures that it got again although other messages were proven in between. */
  repeats = 0;
  /** The last error that a controller answered, or what a repeated failure was. */
  error: string | undefined;
  /** Times that something before the controller held it back. */
  holds = 0;
  /** Errors of this program that it met. */
  bugs = 0;
  /** It may have crashed a controller: it is tried with no other message beside it. */
  alone = false;
}

/** What is known of the proof that a controller remembers a message. Times are monotonic. */
export class ProofRecord {
  /** Posts that were answered 200, in its whole life; `undefined` until the store has told. */
  posts: number | undefined;
  /** When this process first posted it. */
  firstPostAt: number | undefined;
  /** The last post that was answered 200, and a number that counts the 200s of all controllers. */
  acknowledged:
    { readonly controller: string; readonly sequence: number; readonly at: number } | undefined;
  /** Another message was proven on the same controller since. */
  othersProved = false;
  /** What it waits for is a proof, and not the end of a backoff after a failure. */
  isAwaited = false;
  /** Rounds of posts without proof. */
  unprovenTries = 0;
  /** Of these, the rounds after which another message was proven. */
  unprovenRounds = 0;
  /** An operator ordered a try: its posts are not counted. */
  isOrdered = false;
  /** Why it ends without a proof, once that is decided. */
  letGo: string | undefined;
}

/**
 * What makes two messages the same to a filter, or nearly: the key, the Message-ID, the body; to
 * SpamAssassin the key, and To, Date and body. rspamd counts posts of one message in parallel several
 * times, and two verdicts of one message must keep their order, so what shares one of these shares a lock.
 */
interface Identity {
  /** The locks that the message needs. */
  readonly locks: readonly string[];
  /** The Message-ID without its brackets, cleaned for logs. */
  readonly messageId: string | undefined;
}

/**
 * @param user whose memory learns it: others' are apart from that. @defaultValue the common one
 * @param identityOf what two messages share that are one to the filter, where it knows by itself
 */
export function identify(
  key: string,
  message: Buffer,
  user = '',
  identityOf?: (message: Buffer) => string,
): Identity {
  // The value may be folded: a line that begins with white space goes on with the one before.
  const mail = partsOf(message);
  const messageId = /^message-id:[ \t]*(?:\r?\n[ \t]+)*<?([^>\s]+)/im.exec(mail.headers)?.[1];
  const locks = [keyLock(key)];
  if (identityOf !== undefined) locks.push(`same:${user}:${identityOf(message)}`);
  else {
    locks.push(`body:${user}:${hashOfBody(mail)}`);
    // Hashed, so that a long one takes no more memory than a short one.
    if (messageId !== undefined) locks.push(`id:${user}:${sha256(messageId)}`);
  }
  return { locks, messageId: messageId === undefined ? undefined : clean(messageId) };
}

function sha256(text: string): string {
  return createHash('sha256').update(text, 'latin1').digest('base64');
}
