import { DiskFaults } from '../spool/disk-faults.ts';
import { settleTime } from '../spool/message.ts';
import type { FoundEntry } from '../spool/queue.ts';
import { preferenceOf } from './affinity.ts';
import { disposalOf } from './attempt.ts';
import { FIRST_BACKOFF_MS } from './backoff.ts';
import { PendingMessage, isSameFile } from './message.ts';
import type { MessageEntry, MessageState } from './message.ts';
import { reasonToLetGo } from './proof.ts';
import type { DeliveryOptions } from './store.ts';

type Messages = ReadonlyMap<string, PendingMessage>;

/** Entries that one refill brings in, and that it looks at: others want the event loop, too. */
const FOUND_AT_ONCE = 500;
const LOOKED_AT_ONCE = 2_000;
/** What is known of messages that wait on disk after a failure, as a multiple of the backlog. */
const KNOWN_ON_DISK = 10;

/**
 * The part of the queue that is held in memory: at most a backlog of fresh messages, and as many that
 * were tried. The rest waits in the queue's folders, which are the only durable state, and is found by
 * scans. The two are counted apart, so that what keeps failing doesn't keep out what doesn't.
 *
 * A message has one state, and lies in the map of that state; `#place` alone changes either.
 */
export class Backlog {
  readonly #options: DeliveryOptions;
  readonly #in = {
    pending: new Map<string, PendingMessage>(),
    deferred: new Map<string, PendingMessage>(),
    inFlight: new Map<string, PendingMessage>(),
    onDisk: new Map<string, PendingMessage>(),
  };
  /** In the order in which they will go. */
  readonly pending: Messages = this.#in.pending;
  readonly deferred: Messages = this.#in.deferred;
  readonly inFlight: Messages = this.#in.inFlight;
  /** How many of the pending ones were never tried. */
  #fresh = 0;
  #scan: Generator<FoundEntry | undefined, void, undefined> | undefined;
  /** The folders may hold what memory doesn't. */
  #scanWanted = true;
  #rescanAt = 0;

  constructor(options: DeliveryOptions) {
    this.#options = options;
  }

  /** All that waits and is not in flight. */
  get waiting(): readonly PendingMessage[] {
    return [...this.pending.values(), ...this.deferred.values()];
  }

  /** When the next of those that wait falls due that isn't due by now. */
  nextDueAfter(now: number): number {
    let next = Infinity;
    for (const messages of [this.pending, this.deferred]) {
      for (const { state } of messages.values()) {
        if ('dueAt' in state && state.dueAt > now) next = Math.min(next, state.dueAt);
      }
    }
    return next;
  }

  /** When the next refill will find something, as far as is known. */
  get refillAt(): number {
    const hasMore = this.#scanWanted || this.#scan !== undefined;
    return this.#isHalfEmpty && hasMore ? this.#options.clock.monotonic() : this.#rescanAt;
  }

  /** True when nothing is pending, in memory or, as far as is known, in the folders. */
  get isDrained(): boolean {
    return this.#in.pending.size === 0 && !this.#scanWanted && this.#scan === undefined;
  }

  /** What is known of a message that waits or is in flight. */
  find(key: string): PendingMessage | undefined {
    return this.pending.get(key) ?? this.deferred.get(key) ?? this.inFlight.get(key);
  }

  // --- what comes and goes

  /** Takes a new entry of the queue in, or leaves it to a scan where there is no room. */
  add(entry: MessageEntry, dueAt: number): void {
    const { backlog, controllers } = this.#options;
    this.forget(entry.key);
    if (this.#fresh >= backlog) {
      this.#scanWanted = true;
      return;
    }
    const names = controllers.map(({ name }) => name);
    const message = new PendingMessage(entry, preferenceOf(entry.key, names));
    this.#place(message, { kind: 'pending', dueAt });
  }

  /** Forgets a message that isn't in flight. */
  forget(key: string): PendingMessage | undefined {
    const { pending, deferred, onDisk } = this.#in;
    const message = pending.get(key) ?? deferred.get(key) ?? onDisk.get(key);
    if (message === undefined) return undefined;
    this.#remove(message);
    return message;
  }

  /** Takes a message into flight; false when it isn't waiting. */
  launch(message: PendingMessage): boolean {
    const { kind } = message.state;
    if (kind === 'inFlight' || kind === 'out') return false;
    this.#place(message, { kind: 'inFlight' });
    return true;
  }

  /** The flight is over; unless the message waits again, it is out. */
  land(message: PendingMessage): void {
    if (message.state.kind === 'inFlight') this.#place(message, { kind: 'out' });
  }

  /** Puts a message at the end of the line, to go not before so many milliseconds. */
  queueUp(message: PendingMessage, waitMs = 0): void {
    this.#place(message, { kind: 'pending', dueAt: this.#dueIn(waitMs) });
  }

  /** Puts a message that failed at the end of the line, or leaves it to a scan where there is no room. */
  putLast(message: PendingMessage): void {
    if (this.#isFullOfTried) this.#leaveOnDisk(message, 0);
    else this.queueUp(message);
  }

  /** Lets a message wait; without room it waits on disk and is found by a later scan. */
  defer(message: PendingMessage, waitMs: number): void {
    const dueAt = this.#dueIn(waitMs);
    if (this.#isFullOfTried) this.#leaveOnDisk(message, dueAt);
    else this.#place(message, { kind: 'deferred', dueAt });
  }

  /**
   * The file of a message in flight is another one by now: what is known of the earlier one is
   * forgotten, and it has to settle again.
   */
  settleAgain(message: PendingMessage, entry: MessageEntry): void {
    this.#remove(message);
    message.renew(entry);
    this.queueUp(message, this.#options.settleMs);
  }

  /** Makes a message due at once. */
  hurry(message: PendingMessage): void {
    const { kind } = message.state;
    if (kind === 'pending' || kind === 'deferred') this.#place(message, { kind, dueAt: 0 });
  }

  /** Makes everything due that waits for a better moment, by an operator's order. */
  hurryAll(): void {
    for (const kind of ['deferred', 'onDisk'] as const) {
      for (const message of [...this.#in[kind].values()]) {
        this.#place(message, { kind, dueAt: 0 });
        message.proof.isOrdered = message.proof.posts !== undefined;
      }
    }
    this.#scanWanted = true;
  }

  /** Takes a message out, and ends what is known of it elsewhere. */
  #remove(message: PendingMessage): void {
    const { faults, controllers } = this.#options;
    this.#place(message, { kind: 'out' });
    faults.clear(disposalOf(message));
    for (const controller of controllers) controller.forget(message);
  }

  // --- scans

  /** The folders may hold messages that no event named. */
  rescan(): void {
    this.#scanWanted = true;
  }

  /** Brings in what is due, and fills up from the folders when memory has run half empty. */
  refill(): void {
    const { backlog, store, faults, clock, rescanMs } = this.#options;
    const now = clock.monotonic();
    this.#recallDeferred(now);
    if (now >= this.#rescanAt) {
      this.#rescanAt = now + rescanMs;
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
      this.#rescanAt = now + DiskFaults.retryMs;
      faults.raise(store.placeOf(), error);
    }
  }

  /** Where no message is left that could show it, a fault of the queue's folder is over. */
  clearIdleFaults(): void {
    const { faults, store } = this.#options;
    const all = [...this.waiting, ...this.#in.inFlight.values()];
    const busy = new Set(all.map(({ entry }) => entry.verdict));
    for (const verdict of store.verdicts)
      if (!busy.has(verdict)) faults.clear(store.placeOf(verdict));
  }

  /** Closes what a scan holds open. */
  close(): void {
    this.#scan?.return();
    this.#scan = undefined;
  }

  #recallDeferred(now: number): void {
    for (const message of this.#in.deferred.values()) {
      const { state, proof } = message;
      if (state.kind !== 'deferred') continue;
      let { dueAt } = state;
      // Another message has shown that its controller stores: no need to wait for anything longer.
      if (proof.isAwaited && proof.othersProved) dueAt = Math.min(dueAt, now + FIRST_BACKOFF_MS);
      if (reasonToLetGo(proof) !== undefined) dueAt = Math.min(dueAt, now);
      if (dueAt <= now) this.#place(message, { kind: 'pending', dueAt });
      else if (dueAt < state.dueAt) this.#place(message, { kind: 'deferred', dueAt });
    }
  }

  /** Takes one step of the scan; false when there is nothing (more) to scan. */
  #findNext(now: number): boolean {
    const { store, faults, settleMs } = this.#options;
    if (this.#scan === undefined) {
      if (!this.#scanWanted) return false;
      this.#scanWanted = false;
      this.#scan = store.scan((key) => this.find(key) !== undefined);
    }
    const next = this.#scan.next();
    if (next.done === true) {
      this.#scan = undefined;
      faults.clear(store.placeOf());
      return true;
    }
    if (next.value === undefined) return true;
    const { entry, marked } = next.value;
    if (this.find(entry.key) !== undefined) return true;
    const known = this.#in.onDisk.get(entry.key);
    if (known?.state.kind !== 'onDisk' || !isSameFile(known.entry, entry)) {
      this.add(entry, now + settleTime(marked, settleMs));
    } else if (!this.#isFullOfTried) {
      this.#place(known, { kind: 'deferred', dueAt: known.state.dueAt });
    }
    return true;
  }

  // --- room and state

  get #isHalfEmpty(): boolean {
    return this.#fresh <= this.#options.backlog / 2;
  }

  get #isFullOfTried(): boolean {
    const { pending, deferred } = this.#in;
    return pending.size - this.#fresh + deferred.size >= this.#options.backlog;
  }

  #dueIn(waitMs: number): number {
    return this.#options.clock.monotonic() + waitMs;
  }

  /** There is no room for it: a later scan finds it again. */
  #leaveOnDisk(message: PendingMessage, dueAt: number): void {
    const { onDisk } = this.#in;
    this.#place(message, { kind: 'onDisk', dueAt });
    if (onDisk.size <= KNOWN_ON_DISK * this.#options.backlog) return;
    const [oldest] = onDisk.keys();
    if (oldest !== undefined) this.forget(oldest);
  }

  /** Gives a message its state, at the end of that state's map. */
  #place(message: PendingMessage, state: MessageState): void {
    const { key } = message.entry;
    const isFresh = message.tries === 0;
    const { kind: before } = message.state;
    if (before !== 'out' && this.#in[before].get(key) === message) {
      this.#in[before].delete(key);
      // A message's tries change only in flight.
      if (before === 'pending' && isFresh) this.#fresh -= 1;
    }
    message.state = state;
    if (state.kind === 'out') return;
    this.#in[state.kind].set(key, message);
    if (state.kind === 'pending' && isFresh) this.#fresh += 1;
  }
}
