import type { QueueEntry } from '../spool/message.ts';
import type { Identity } from './identity.ts';

/** How a message ends; what is left to do is to move its file. */
export type Finish =
  /** `reason`: why it is let go without a proof. */
  | { readonly kind: 'learned'; readonly proven: true }
  | { readonly kind: 'learned'; readonly proven: false; readonly reason: string }
  | { readonly kind: 'duplicate' }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'quarantined'; readonly reason: string };

/** A 200 of some controller. */
export interface Acknowledgement {
  /** The controller's name. */
  readonly by: string;
  /** Counts the 200s of all controllers. */
  readonly sequence: number;
}

/**
 * A message on its way to a controller, and what happened to it so far. It lives in
 * memory only: after a restart the folders are all there is.
 */
export interface Delivery {
  entry: QueueEntry;
  /** Not before this monotonic time: it settles, or waits after a failure. */
  dueAt: number;
  /** Known once it was read. */
  identity: Identity | undefined;
  /** Controllers by preference: a key always has the same order. */
  readonly preference: readonly string[];
  /** Times it was tried. */
  tries: number;
  /** A try of it failed, or was not proven. */
  hasFailed: boolean;
  /** Unknown failures charged to it. */
  charges: number;
  /** Errors that it got for an answer once more although others were proven in between. */
  repeats: number;
  /** The last one. */
  error: string | undefined;
  /** Times that it was held back on its way to a controller. */
  holds: number;
  /** Times that it met an error of this program. */
  bugs: number;
  /** It may have crashed a controller: it is tried with no other message beside it. */
  alone: boolean;
  /** A failure of its was put down to an outage, though nothing failed right after it. */
  excused: boolean;
  /** Rounds of posts without proof after which another message proved. */
  unprovenRounds: number;
  /** Rounds of posts without proof. */
  unprovenTries: number;
  /** Posts that were answered 200, in its whole life; `undefined` until the store has told. */
  posts: number | undefined;
  /** When its first and its last round of posts began in this process: monotonic. */
  firstRoundAt: number | undefined;
  lastRoundAt: number | undefined;
  /** When the last post was answered 200: monotonic. */
  acknowledgedAt: number | undefined;
  /** Another message was proven there since. */
  othersProved: boolean;
  /** An operator wants it to be tried now; what it takes is not counted among its posts. */
  isOrdered: boolean;
  /** Why it ends without a proof, where that is decided. */
  letGo: string | undefined;
  /** The last time that a post of it was answered 200. */
  acknowledged: Acknowledgement | undefined;
  /** Reached; only moving the file failed. */
  finish: Finish | undefined;
  /** When the try began that reached it: monotonic. */
  finishBegan: number | undefined;
}

export function newDelivery(
  entry: QueueEntry,
  dueAt: number,
  preference: readonly string[],
): Delivery {
  return {
    entry,
    dueAt,
    identity: undefined,
    preference,
    tries: 0,
    hasFailed: false,
    charges: 0,
    repeats: 0,
    error: undefined,
    holds: 0,
    bugs: 0,
    alone: false,
    excused: false,
    unprovenRounds: 0,
    unprovenTries: 0,
    posts: undefined,
    firstRoundAt: undefined,
    lastRoundAt: undefined,
    acknowledgedAt: undefined,
    othersProved: false,
    isOrdered: false,
    letGo: undefined,
    acknowledged: undefined,
    finish: undefined,
    finishBegan: undefined,
  };
}

/** The file is another one now: what was learned about the earlier one is forgotten. */
export function renew(delivery: Delivery, entry: QueueEntry, dueAt: number): void {
  Object.assign(delivery, newDelivery(entry, dueAt, delivery.preference));
}
