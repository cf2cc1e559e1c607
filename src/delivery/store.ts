import type { Bugs } from '../bugs.ts';
import type { Clock } from '../clock.ts';
import type { Filter } from '../filter.ts';
import type { DiskFaults } from '../spool/disk-faults.ts';
import type { MessageLocks } from '../spool/message-locks.ts';
import type { CheckResult, FoundEntry, ReadResult } from '../spool/queue.ts';
import type { Held } from '../trainers/trainer.ts';
import type { FindUser } from '../user.ts';
import type { Verdict } from '../verdict.ts';
import type { Affinity } from './affinity.ts';
import type { Controller } from './controller.ts';
import type { MessageEvents } from './events.ts';
import type { MessageEntry, PendingMessage } from './message.ts';
import type { Disposition } from './result.ts';

/**
 * What the delivery has to be given. Where messages lie and end is the store's: the daemon's is its
 * spool, `relearn`'s what it has read of its sources.
 */
export interface DeliveryOptions {
  readonly controllers: readonly Controller[];
  readonly store: MessageStore;
  readonly events: MessageEvents;
  /** What earlier posts without an answer are bound to. @defaultValue nothing */
  readonly affinity?: Affinity;
  readonly faults: DiskFaults;
  readonly bugs: Bugs;
  readonly locks: MessageLocks;
  readonly clock: Clock;
  readonly random: () => number;
  /** Posts in flight for each controller. */
  readonly concurrency: number;
  /** Failures that are charged to a message before it is quarantined. */
  readonly maxAttempts: number;
  /** Most messages held in memory. */
  readonly backlog: number;
  readonly settleMs: number;
  /** How often the store is scanned although nothing is known to wait there. */
  readonly rescanMs: number;
  /** Whose memory learns a message. @defaultValue the filter decides */
  readonly findUser?: FindUser | undefined;
  /** @defaultValue every message is proven by itself */
  readonly sampler?: ProofSampler;
}

/** A filter that is taught: its controllers, and what is known of it over all sessions. */
export interface Learner extends Pick<
  DeliveryOptions,
  'controllers' | 'events' | 'concurrency' | 'findUser'
> {
  readonly filter: Filter;
  readonly affinity: Affinity;
  /** How long one post may take, in milliseconds. */
  readonly longestPostMs: number;
}

export interface MessageStore {
  /** All classes. */
  readonly verdicts: readonly Verdict[];
  /** Where messages of a verdict, or all, lie; names disk faults. */
  placeOf(verdict?: Verdict): string;
  /**
   * Lists once what is there, and yields `undefined` for what is not to be delivered, so that others get
   * their turn. Keeps folders open until it is finished or returned.
   * @param isKnown names what needs no look because it is in memory; a store may look all the same
   */
  scan(isKnown?: (key: string) => boolean): Generator<FoundEntry | undefined, void, undefined>;
  /** @throws the system's error for a disk fault */
  read(entry: MessageEntry): Promise<ReadResult>;
  /** How many posts of a message were answered 200 before this process knew of it. */
  postsOf(entry: MessageEntry): number;
  /**
   * Keeps the number of posts of a message for a later process.
   * @throws the system's error for a disk fault
   */
  recordPosts(entry: MessageEntry, posts: number): void;
  /**
   * Ends a message that is held back, unlearned. Where a store can't do that, the message waits in the
   * backlog.
   */
  leave?(entry: MessageEntry, why: Held): void;
  /**
   * Puts a message where it ends. Safe to repeat.
   * @returns what is different about its file, which then stays; `undefined` when it is done
   * @throws the system's error for a disk fault; the message is then still where it was
   */
  dispose(
    entry: MessageEntry,
    disposition: Disposition,
    message: PendingMessage,
  ): CheckResult | Promise<CheckResult>;
}

/**
 * Which answers have to be proven, and what was acknowledged without a proof so far. Only `relearn`,
 * which keeps its sources, has one; the daemon proves every message by itself.
 */
export interface ProofSampler {
  /**
   * Whether the message that was just answered 200 has to be proven.
   * @param tookMs how long the answer took
   */
  wantsProof(controller: Controller, body: Buffer, tookMs: number): boolean;
  /** Keeps an acknowledged message until a later one of the same controller is proven. */
  add(message: PendingMessage, controller: string): void;
  /** Takes out what the controller of a proven message had acknowledged before it. */
  commit(message: PendingMessage): PendingMessage[];
  /** Takes out all that the controller acknowledged and that isn't proven. */
  recall(controller: string): PendingMessage[];
}
