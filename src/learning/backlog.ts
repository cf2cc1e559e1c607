import type { Clock } from '../clock.ts';
import { Faults } from '../spool/faults.ts';
import { sameStamp, settleTime } from '../spool/message.ts';
import { VERDICTS } from '../verdict.ts';
import type { QueueEntry, Stamp } from '../spool/message.ts';
import type { FoundEntry } from '../spool/queue.ts';
import { FIRST_BACKOFF_MS } from './backoff.ts';
import { newDelivery, renew } from './delivery.ts';
import type { Delivery } from './delivery.ts';
import { preferenceOf } from './preference.ts';
import { reasonToLetGo } from './proof.ts';
import type { MessageStore } from './store.ts';

/**
 * The part of the queue that is held in memory: at most a backlog of fresh messages, and as many that
 * were tried. The rest waits in the queue's folders, which are the only durable state, and is found by
 * scans. The two are counted apart, so that what keeps failing doesn't keep out what doesn't.
 *
 * A message is pending (in the order in which it will go), in flight, or deferred until a time of
 * its own; in one of the three maps at most.
 */
export interface BacklogOptions {
  readonly store: MessageStore;
  readonly controllers: readonly string[];
  readonly faults: Faults;
  readonly clock: Clock;
  readonly backlog: number;
  readonly settleMs: number;
  /** How often the folders are scanned although nothing is known to wait there. */
  readonly rescanMs: number;
  /** The message is no longer known. */
  readonly onForgotten: (delivery: Delivery) => void;
}

/** Entries that one refill brings in, and that it looks at: others want the event loop, too. */
const FOUND_AT_ONCE = 500;
const LOOKED_AT_ONCE = 2_000;
/** What is known of messages that wait on disk after a failure, as a multiple of the backlog. */
const KNOWN_ON_DISK = 10;

export class Backlog {
  readonly #options: BacklogOptions;
  readonly #pending = new Map<string, Delivery>();
  readonly #deferred = new Map<string, Delivery>();
  readonly #inFlight = new Map<string, Delivery>();
  /** Tried, and left on disk for want of room: what they came to is not forgotten. */
  readonly #onDisk = new Map<string, Delivery>();
  /** How many of the pending ones were never tried. */
  #fresh = 0;
  #scan: Generator<FoundEntry, void, undefined> | undefined;
  /** The folders may hold what memory doesn't. */
  #scanWanted = true;
  #rescanAt = 0;

  constructor(options: BacklogOptions) {
    this.#options = options;
  }

  get pending(): ReadonlyMap<string, Delivery> {
    return this.#pending;
  }

  get deferred(): ReadonlyMap<string, Delivery> {
    return this.#deferred;
  }

  get inFlight(): ReadonlyMap<string, Delivery> {
    return this.#inFlight;
  }

  /** When the next refill will find something, as far as is known. */
  get refillAt(): number {
    const hasMore = this.#scanWanted || this.#scan !== undefined;
    return this.#isHalfEmpty && hasMore ? this.#options.clock.monotonic() : this.#rescanAt;
  }

  /** True when nothing is pending, in memory or, as far as is known, in the folders. */
  get isDrained(): boolean {
    return this.#pending.size === 0 && !this.#scanWanted && this.#scan === undefined;
  }

  /** Takes a new entry of the queue in, or leaves it to a scan where there is no room. */
  add(entry: QueueEntry, dueAt: number): void {
    const { backlog, controllers } = this.#options;
    this.forget(entry.key);
    if (this.#fresh >= backlog) this.#scanWanted = true;
    else this.queueUp(newDelivery(entry, dueAt, preferenceOf(entry.key, controllers)));
  }

  /** Forgets a message that isn't in flight. */
  forget(key: string): Delivery | undefined {
    this.#onDisk.delete(key);
    const delivery = this.#pending.get(key) ?? this.#deferred.get(key);
    if (delivery === undefined) return undefined;
    this.#takeOut(delivery);
    this.#options.onForgotten(delivery);
    return delivery;
  }

  /** What is known of a message that waits or is in flight. */
  find(key: string): Delivery | undefined {
    return this.#pending.get(key) ?? this.#deferred.get(key) ?? this.#inFlight.get(key);
  }

  /** Takes a message into flight; false when it isn't pending or deferred. */
  launch(delivery: Delivery): boolean {
    if (!this.#takeOut(delivery)) return false;
    this.#inFlight.set(delivery.entry.key, delivery);
    return true;
  }

  /** The flight is over; where it goes from there was said before. */
  land(delivery: Delivery): void {
    this.#inFlight.delete(delivery.entry.key);
  }

  /** Puts a message at the end of the line. */
  queueUp(delivery: Delivery): void {
    const { key } = delivery.entry;
    const before = this.#pending.get(key);
    if (before !== undefined) this.#takeOut(before);
    this.#pending.set(key, delivery);
    if (isFresh(delivery)) this.#fresh += 1;
  }

  /** Puts a message that failed at the end of the line, or leaves it to a scan where there is no room. */
  putLast(delivery: Delivery): void {
    if (this.#isFullOfTried) this.#leaveOnDisk(delivery);
    else this.queueUp(delivery);
  }

  /**
   * The file of a message in flight is another one by now: what is known of the earlier one is
   * forgotten, and it has to settle again.
   */
  settleAgain(delivery: Delivery, stamp: Stamp): void {
    const { clock, settleMs, onForgotten } = this.#options;
    onForgotten(delivery);
    renew(delivery, { ...delivery.entry, stamp }, clock.monotonic() + settleMs);
    this.queueUp(delivery);
  }

  /** Lets a message wait; without room it waits on disk and is found by a later scan. */
  defer(delivery: Delivery, waitMs: number): void {
    delivery.dueAt = this.#options.clock.monotonic() + waitMs;
    if (this.#isFullOfTried) this.#leaveOnDisk(delivery);
    else this.#deferred.set(delivery.entry.key, delivery);
  }

  /** The folders may hold what nobody was told of. */
  rescan(): void {
    this.#scanWanted = true;
  }

  /** Makes everything due that waits for a better moment. */
  hurry(): void {
    for (const delivery of [...this.#deferred.values(), ...this.#onDisk.values()]) {
      delivery.dueAt = 0;
      delivery.isOrdered = delivery.posts !== undefined;
    }
    this.#scanWanted = true;
  }

  /** Brings in what is due, and fills up from the folders when memory has run half empty. */
  refill(): void {
    const { backlog, store, faults } = this.#options;
    const now = this.#options.clock.monotonic();
    this.#recallDeferred(now);
    if (now >= this.#rescanAt) {
      this.#rescanAt = now + this.#options.rescanMs;
      this.#scanWanted = true;
    }
    if (!this.#isHalfEmpty) return;
    const enough = Math.min(backlog, this.#fresh + FOUND_AT_ONCE);
    try {
      for (let looks = 0; looks < LOOKED_AT_ONCE && this.#fresh < enough; looks += 1) {
        if (!this.#findNext(now)) break;
      }
    } catch (error) {
      this.#scan = undefined;
      this.#rescanAt = now + Faults.retryMs;
      faults.raise(store.placeOf(), error);
    }
  }

  /** Where no message is left that could show it, a fault of the queue's folder is over. */
  clearIdleFaults(): void {
    const { faults, store } = this.#options;
    const all = [this.#pending, this.#deferred, this.#inFlight].flatMap((each) => [
      ...each.values(),
    ]);
    const busy = new Set(all.map(({ entry }) => entry.verdict));
    for (const verdict of VERDICTS) if (!busy.has(verdict)) faults.clear(store.placeOf(verdict));
  }

  /** Closes what a scan holds open. */
  close(): void {
    this.#scan?.return();
    this.#scan = undefined;
  }

  get #isHalfEmpty(): boolean {
    return this.#fresh <= this.#options.backlog / 2;
  }

  get #isFullOfTried(): boolean {
    return this.#pending.size - this.#fresh + this.#deferred.size >= this.#options.backlog;
  }

  /** Takes a message out of line, or from where it is deferred; false when it is in neither. */
  #takeOut(delivery: Delivery): boolean {
    const { key } = delivery.entry;
    if (this.#pending.get(key) === delivery) {
      this.#pending.delete(key);
      if (isFresh(delivery)) this.#fresh -= 1;
      return true;
    }
    return this.#deferred.get(key) === delivery && this.#deferred.delete(key);
  }

  /** There is no room for it: a later scan finds it again. */
  #leaveOnDisk(delivery: Delivery): void {
    const { backlog, onForgotten } = this.#options;
    onForgotten(delivery);
    this.#onDisk.set(delivery.entry.key, delivery);
    if (this.#onDisk.size <= KNOWN_ON_DISK * backlog) return;
    for (const oldest of this.#onDisk.keys()) {
      this.#onDisk.delete(oldest);
      return;
    }
  }

  #recallDeferred(now: number): void {
    for (const [key, delivery] of this.#deferred) {
      // Another message has shown that its controller stores: no need to wait for anything longer.
      if (delivery.othersProved) delivery.dueAt = Math.min(delivery.dueAt, now + FIRST_BACKOFF_MS);
      if (reasonToLetGo(delivery) !== undefined) delivery.dueAt = Math.min(delivery.dueAt, now);
      if (delivery.dueAt > now) continue;
      this.#deferred.delete(key);
      this.queueUp(delivery);
    }
  }

  /** Takes one step of the scan; false when there is nothing (more) to scan. */
  #findNext(now: number): boolean {
    if (this.#scan === undefined) {
      if (!this.#scanWanted) return false;
      this.#scanWanted = false;
      this.#scan = this.#options.store.scan();
    }
    const next = this.#scan.next();
    if (next.done === true) {
      this.#scan = undefined;
      this.#options.faults.clear(this.#options.store.placeOf());
      return true;
    }
    const { entry, marked } = next.value;
    if (this.find(entry.key) !== undefined) return true;
    const known = this.#onDisk.get(entry.key);
    if (known === undefined || !sameStamp(known.entry.stamp, entry.stamp)) {
      this.add(entry, now + settleTime(marked, this.#options.settleMs));
    } else if (!this.#isFullOfTried) {
      this.#onDisk.delete(entry.key);
      this.#deferred.set(entry.key, known);
    }
    return true;
  }
}

/** A message's tries change only in flight. */
function isFresh({ tries }: Delivery): boolean {
  return tries === 0;
}
