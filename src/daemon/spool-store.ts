import path from 'node:path';
import type { PendingMessage } from '../delivery/message.ts';
import type { Disposition } from '../delivery/result.ts';
import type { MessageStore } from '../delivery/store.ts';
import { disposeOf, isArchiveEmpty } from '../spool/archive.ts';
import type { Destination } from '../spool/archive.ts';
import type { QueueEntry } from '../spool/message.ts';
import type { PostCounts } from '../spool/post-counts.ts';
import type { Quarantine } from '../spool/quarantine.ts';
import type { CheckResult, FoundEntry, ReadResult } from '../spool/queue.ts';
import type { Verdict } from '../verdict.ts';

interface SpoolStoreOptions extends Destination {
  readonly quarantine: Quarantine;
  readonly postCounts: PostCounts;
}

/** The daemon's messages: they lie in the queue, and end in the disposal or the quarantine. */
export class SpoolStore implements MessageStore {
  readonly #options: SpoolStoreOptions;

  /** @throws the system's error for a disk fault */
  constructor(options: SpoolStoreOptions) {
    this.#options = { ...options, isArchiveEmpty: isArchiveEmpty(options.archive) };
  }

  get verdicts(): readonly Verdict[] {
    return this.#options.queue.verdicts;
  }

  placeOf(verdict?: Verdict): string {
    const { queue } = this.#options;
    return verdict === undefined
      ? path.dirname(queue.folder('spam').path)
      : queue.folder(verdict).path;
  }

  scan(isKnown?: (key: string) => boolean): Generator<FoundEntry | undefined, void, undefined> {
    return this.#options.queue.scan(isKnown);
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

  async dispose(
    entry: QueueEntry,
    disposition: Disposition,
    { identity, failures }: PendingMessage,
  ): Promise<CheckResult> {
    const { queue, quarantine, postCounts, wall } = this.#options;
    const different =
      disposition.kind !== 'quarantined'
        ? disposeOf(entry, this.#options)
        : await quarantine.put(entry, queue, {
            name: entry.key,
            verdict: entry.verdict,
            reason: disposition.reason,
            attempts: failures.charges,
            ...(identity?.messageId === undefined ? {} : { messageId: identity.messageId }),
            quarantinedAt: new Date(wall()).toISOString(),
          });
    if (different?.kind !== 'changed') postCounts.forget(entry);
    return different;
  }
}
