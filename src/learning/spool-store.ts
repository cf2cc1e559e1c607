import path from 'node:path';
import type { Disposal } from '../spool/disposal.ts';
import type { QueueEntry } from '../spool/message.ts';
import type { Verdict } from '../verdict.ts';
import type { PostCounts } from '../spool/post-counts.ts';
import type { Quarantine } from '../spool/quarantine.ts';
import type { CheckResult, FoundEntry, Queue, ReadResult } from '../spool/queue.ts';
import type { Delivery, Finish } from './delivery.ts';
import type { MessageStore } from './store.ts';

/** The daemon's messages: they lie in the queue, and end in the disposal or the quarantine. */
export class SpoolStore implements MessageStore {
  readonly #options: SpoolStoreOptions;

  constructor(options: SpoolStoreOptions) {
    this.#options = options;
  }

  placeOf(verdict?: Verdict): string {
    const { queue } = this.#options;
    return verdict === undefined
      ? path.dirname(queue.folder('spam').path)
      : queue.folder(verdict).path;
  }

  scan(): Generator<FoundEntry, void, undefined> {
    return this.#options.queue.scan();
  }

  read(entry: QueueEntry): Promise<ReadResult> {
    return this.#options.queue.read(entry);
  }

  postsOf(entry: QueueEntry): number {
    return this.#options.postCounts.of(entry);
  }

  recordPosts(entry: QueueEntry, posts: number): void {
    this.#options.postCounts.record(entry, posts);
  }

  leave(): boolean {
    return false;
  }

  async finish(delivery: Delivery, finish: Finish): Promise<CheckResult> {
    const different = await this.#move(delivery, finish);
    if (different?.kind !== 'changed') this.#options.postCounts.forget(delivery.entry);
    return different;
  }

  #move(delivery: Delivery, finish: Finish): CheckResult | Promise<CheckResult> {
    const { queue, quarantine, disposal, wall } = this.#options;
    const { entry, identity, charges } = delivery;
    if (finish.kind !== 'quarantined') return disposal.dispose(entry);
    return quarantine.put(entry, queue, {
      name: entry.key,
      verdict: entry.verdict,
      reason: finish.reason,
      attempts: charges,
      ...(identity?.messageId === undefined ? {} : { messageId: identity.messageId }),
      quarantinedAt: new Date(wall()).toISOString(),
    });
  }
}

export interface SpoolStoreOptions {
  readonly queue: Queue;
  readonly quarantine: Quarantine;
  readonly disposal: Disposal;
  readonly postCounts: PostCounts;
  /** Milliseconds since the epoch. */
  readonly wall: () => number;
}
