import type { QueueEntry } from '../spool/message.ts';
import type { Identity } from './identity.ts';
import type { Disposition } from './result.ts';

/**
 * A message that is to be learned, and what happened to it so far. It lives in memory only: after a
 * restart the queue's folders are all there is.
 */
export interface PendingMessage {
  entry: QueueEntry;
  /** Only the backlog assigns it. */
  state: MessageState;
  /** The controllers, the preferred one first. */
  readonly preference: readonly string[];
  /** Known once the message was read. */
  identity: Identity | undefined;
  /** Times that it was posted, each with its proof. */
  tries: number;
  readonly failures: Failures;
  readonly proof: ProofRecord;
  /** Reached; only moving the file failed. */
  disposition: Disposition | undefined;
  /** When the try began that reached it: monotonic. */
  disposedSince: number | undefined;
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
export interface Failures {
  /** A try failed, or was not proven. */
  any: boolean;
  /** Unknown failures that were charged to it. */
  charges: number;
  /** Errors that it got again although other messages were proven in between. */
  repeats: number;
  /** The last error that a controller answered. */
  error: string | undefined;
  /** Times that something before the controller held it back. */
  holds: number;
  /** Errors of this program that it met. */
  bugs: number;
  /** It may have crashed a controller: it is tried with no other message beside it. */
  alone: boolean;
  /** A failure was put down to an outage, though nothing failed right after it. */
  excused: boolean;
}

/** What is known of the proof that a controller remembers a message. Times are monotonic. */
export interface ProofRecord {
  /** Posts that were answered 200, in its whole life; `undefined` until the store has told. */
  posts: number | undefined;
  /** When its first and its last round of posts began in this process. */
  firstRoundAt: number | undefined;
  lastRoundAt: number | undefined;
  /** When a post was last answered 200. */
  acknowledgedAt: number | undefined;
  /** The last post that was answered 200. */
  acknowledged: Acknowledgement | undefined;
  /** Another message was proven on the same controller since. */
  othersProved: boolean;
  /** Rounds of posts without proof. */
  unprovenTries: number;
  /** Of these, the rounds after which another message was proven. */
  unprovenRounds: number;
  /** An operator ordered a try: its posts are not counted. */
  isOrdered: boolean;
  /** Why it ends without a proof, once that is decided. */
  letGo: string | undefined;
}

/** A 200 of some controller. */
export interface Acknowledgement {
  readonly controller: string;
  /** Counts the 200s of all controllers. */
  readonly sequence: number;
}

export function newPendingMessage(
  entry: QueueEntry,
  preference: readonly string[],
): PendingMessage {
  return { ...unknown(), entry, preference, state: { kind: 'out' } };
}

/** The file is another one now: what was known of the earlier one is forgotten. */
export function renew(message: PendingMessage, entry: QueueEntry): void {
  Object.assign(message, unknown(), { entry });
}

/** True when others were proven around the failures of a message. */
export function isGuilty({ failures }: PendingMessage): boolean {
  return failures.charges + failures.repeats > 0;
}

function unknown(): Omit<PendingMessage, 'entry' | 'preference' | 'state'> {
  return {
    identity: undefined,
    tries: 0,
    failures: {
      any: false,
      charges: 0,
      repeats: 0,
      error: undefined,
      holds: 0,
      bugs: 0,
      alone: false,
      excused: false,
    },
    proof: {
      posts: undefined,
      firstRoundAt: undefined,
      lastRoundAt: undefined,
      acknowledgedAt: undefined,
      acknowledged: undefined,
      othersProved: false,
      unprovenTries: 0,
      unprovenRounds: 0,
      isOrdered: false,
      letGo: undefined,
    },
    disposition: undefined,
    disposedSince: undefined,
  };
}
