import type { QueueEntry } from '../spool/message.ts';
import type { Verdict } from '../verdict.ts';
import type { CheckResult, FoundEntry, ReadResult } from '../spool/queue.ts';
import type { Held } from '../trainers/trainer.ts';
import type { PendingMessage } from './message.ts';
import type { Disposition } from './result.ts';

/**
 * Where the messages lie that are to be learned, and where they end: the daemon's spool, or what
 * `relearn` has read of its sources. All that the delivery room knows of either.
 */
export interface MessageStore {
  /** Where messages of a verdict, or all, lie; names disk faults. */
  placeOf(verdict?: Verdict): string;
  /** Lists once what is there. Keeps folders open until it is finished or returned. */
  scan(): Generator<FoundEntry, void, undefined>;
  /** @throws the system's error for a disk fault */
  read(entry: QueueEntry): Promise<ReadResult>;
  /** How many posts of a message were answered 200 before this process knew of it. */
  postsOf(entry: QueueEntry): number;
  /**
   * Keeps the number of posts of a message for a later process.
   * @throws the system's error for a disk fault
   */
  recordPosts(entry: QueueEntry, posts: number): void;
  /**
   * Leaves a message that is held back unlearned, where it can be read anew some other time.
   * @returns false where the message waits in the backlog instead
   */
  leave(entry: QueueEntry, why: Held): boolean;
  /**
   * Puts a message where it ends. Safe to repeat.
   * @returns what is different about its file, which then stays; `undefined` when it is done
   * @throws the system's error for a disk fault; the message is then still where it was
   */
  dispose(message: PendingMessage, disposition: Disposition): CheckResult | Promise<CheckResult>;
}
