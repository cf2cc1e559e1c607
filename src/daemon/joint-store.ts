import type { Clock } from '../clock.ts';
import type { PendingMessage } from '../delivery/message.ts';
import type { Disposition } from '../delivery/result.ts';
import type { MessageStore } from '../delivery/store.ts';
import { sameStamp } from '../spool/message.ts';
import type { QueueEntry } from '../spool/message.ts';
import type { CheckResult, FoundEntry, Queue, ReadResult } from '../spool/queue.ts';
import type { Verdict } from '../verdict.ts';
import type { DoneLog } from './done-log.ts';

/**
 * The daemon's messages where several filters are taught. Each filter has a store of its own, in which
 * a message ends when that filter has done with it; the file is put where it ends by the last one. A
 * message that any filter can't take is quarantined then.
 */
interface JointStoreOptions {
  /** The store that the messages really lie in. */
  readonly store: MessageStore;
  readonly queue: Queue;
  readonly log: DoneLog;
  readonly clock: Clock;
  /** The stores of all filters, this one among them. */
  readonly all: () => readonly JointStore[];
  /** Messages that the filter's delivery has room for in memory. */
  readonly backlog: number;
}

/** A scan that found nothing new rests for so many times as long as it took: 1 % of the time. */
const REST = 100;

interface Aside {
  readonly entry: QueueEntry;
  readonly disposition: Disposition;
  readonly message: PendingMessage;
}

export class JointStore implements MessageStore {
  readonly #options: JointStoreOptions;
  /** What this filter can't take, until the others have done with it. A restart tries it anew. */
  readonly #asides = new Map<string, Aside>();
  /**
   * Keys that were handed to the filter's delivery, and which it hasn't done with. There is room for
   * all of them in its memory; where there are more, the others are not in here.
   */
  readonly #given = new Set<string>();
  /** Monotonic; until then a scan would find nothing but what was given. */
  #restsUntil = 0;
  /** How often the delivery may have left a message to a scan. */
  #timesLeft = 0;

  constructor(options: JointStoreOptions) {
    this.#options = options;
  }

  /** True when this filter needs the message no longer. */
  isDone(entry: QueueEntry): boolean {
    const standing = this.#options.log.of(entry);
    return (
      (standing !== undefined && standing.kind !== 'posted') || this.#asideOf(entry) !== undefined
    );
  }

  /** The same of the file of that key that was seen last. */
  hasDone(key: string): boolean {
    return this.#asides.has(key) || this.#options.log.hasDone(key);
  }

  /**
   * A message came into the queue: forgets what is known of that key. It may be of this very file, which
   * was in the queue before, and came back from the archive.
   */
  enqueued({ key }: QueueEntry): void {
    this.forget(key);
    this.#give(key);
  }

  /** The message is out of the queue. */
  forget(key: string): void {
    this.#asides.delete(key);
    this.#given.delete(key);
    this.#options.log.forget(key);
  }

  close(): void {
    this.#options.log.close();
  }

  get verdicts(): readonly Verdict[] {
    return this.#options.store.verdicts;
  }

  placeOf(verdict?: Verdict): string {
    return this.#options.store.placeOf(verdict);
  }

  *scan(): Generator<FoundEntry | undefined, void, undefined> {
    const { store, clock } = this.#options;
    let resumedAt = clock.monotonic();
    if (resumedAt < this.#restsUntil) return;
    let tookMs = 0;
    let isFruitless = true;
    const timesLeft = this.#timesLeft;
    for (const found of store.scan()) {
      const isNeeded = found !== undefined && !this.isDone(found.entry);
      if (isNeeded && this.#give(found.entry.key)) isFruitless = false;
      // While the delivery has enough it may leave the scan where it is, for hours.
      tookMs += clock.monotonic() - resumedAt;
      yield isNeeded ? found : undefined;
      resumedAt = clock.monotonic();
    }
    const endedAt = clock.monotonic();
    tookMs += endedAt - resumedAt;
    const isWhole = timesLeft === this.#timesLeft;
    if (isFruitless && isWhole) this.#restsUntil = endedAt + REST * tookMs;
  }

  async read(entry: QueueEntry): Promise<ReadResult> {
    const result = await this.#options.store.read(entry);
    if (result.kind === 'gone') this.#forgetEverywhere(entry.key);
    return result;
  }

  postsOf(entry: QueueEntry): number {
    const standing = this.#options.log.of(entry);
    return standing?.kind === 'posted' ? standing.posts : 0;
  }

  recordPosts(entry: QueueEntry, posts: number): void {
    this.#options.log.set(entry, { kind: 'posted', posts });
  }

  async dispose(
    entry: QueueEntry,
    disposition: Disposition,
    message: PendingMessage,
  ): Promise<CheckResult> {
    const { store, queue, log, all } = this.#options;
    const others = all().filter((each) => each !== this);
    if (!others.every((each) => each.isDone(entry))) {
      const different = queue.check(entry);
      if (different?.kind === 'gone') this.#forgetEverywhere(entry.key);
      if (different !== undefined) return different;
      if (disposition.kind === 'quarantined') {
        this.#asides.set(entry.key, { entry, disposition, message });
      } else {
        log.set(entry, { kind: disposition.kind });
      }
      this.#given.delete(entry.key);
      return undefined;
    }
    const own = { entry, disposition, message };
    const asides = others.map((each) => each.#asideOf(entry));
    const last =
      disposition.kind === 'quarantined' ? own : (asides.find((each) => each !== undefined) ?? own);
    const different = await store.dispose(entry, last.disposition, last.message);
    if (different?.kind !== 'changed') this.#forgetEverywhere(entry.key);
    return different;
  }

  /** @returns whether it had not been */
  #give(key: string): boolean {
    if (this.#given.has(key)) return false;
    if (this.#given.size < this.#options.backlog) this.#given.add(key);
    else {
      this.#restsUntil = 0;
      this.#timesLeft += 1;
    }
    return true;
  }

  #asideOf(entry: QueueEntry): Aside | undefined {
    const aside = this.#asides.get(entry.key);
    const isSame =
      aside?.entry.verdict === entry.verdict && sameStamp(aside.entry.stamp, entry.stamp);
    return isSame ? aside : undefined;
  }

  #forgetEverywhere(key: string): void {
    for (const each of this.#options.all()) each.forget(key);
  }
}
