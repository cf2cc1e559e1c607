import type { QueueEntry } from '../spool/message.ts';
import type { Verdict } from '../verdict.ts';
import type { CheckResult, FoundEntry, ReadResult } from '../spool/queue.ts';
import type { Held } from '../trainers/trainer.ts';
import type { Delivery, Finish } from './delivery.ts';

/**
 * Where the messages lie that are to be learned, and where they end: the daemon's spool
 * (`spool-store.ts`), or what `relearn` has read of its sources. All that the learning room knows of
 * either.
 */
export interface MessageStore {
  /** Where messages of a verdict, or all, lie; names local faults. */
  placeOf(verdict?: Verdict): string;
  /** Lists once what is there. Keeps things open until it is finished or returned. */
  scan(): Generator<FoundEntry, void, undefined>;
  /** @throws the system's error for a local fault */
  read(entry: QueueEntry): Promise<ReadResult>;
  /** How many posts of a message were answered 200 before this process knew of it. */
  postsOf(entry: QueueEntry): number;
  /**
   * Keeps the number of posts of a message for a later process.
   * @throws the system's error for a local fault
   */
  recordPosts(entry: QueueEntry, posts: number): void;
  /**
   * Leaves a message that is held back unlearned, where it can be read anew some other time.
   * @returns false where it waits here instead
   */
  leave(entry: QueueEntry, why: Held): boolean;
  /**
   * Puts a message where it ends. Safe to repeat.
   * @returns what is different about it, which then stays; `undefined` when it is done
   * @throws the system's error for a local fault; the message is then still where it was
   */
  finish(delivery: Delivery, finish: Finish): CheckResult | Promise<CheckResult>;
}
