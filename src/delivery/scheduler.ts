import PQueue from 'p-queue';
import type { Timer } from '../clock.ts';
import { DiskFaults } from '../spool/disk-faults.ts';
import { keyLock } from '../spool/message-locks.ts';
import type { Verdict } from '../verdict.ts';
import { Affinity } from './affinity.ts';
import { Attempts, DISPOSAL } from './attempt.ts';
import { Attribution } from './attribution.ts';
import type { Flight } from './attribution.ts';
import { Backlog } from './backlog.ts';
import { backoffMs } from './backoff.ts';
import type { Controller } from './controller.ts';
import type { MessageEntry, PendingMessage } from './message.ts';
import type { DeliveryOptions } from './store.ts';

/** Bodies in flight take this much memory in all; a larger one goes alone. */
const BODIES_BYTES = 64 * 1024 * 1024;

/**
 * The scheduler decides which message of the backlog goes to which controller, and when. It makes the
 * other parts of the delivery: for the daemon, for `relearn`, for tests and benches.
 *
 * Each controller has a queue (p-queue) whose `concurrency` is what the controller may have in flight:
 * 1 while it is unknown, paused, slow, or has a message that is to be alone, else LEARN_CONCURRENCY.
 * What waits in that queue is not a message but a turn: a turn that starts chooses its message then,
 * by what is known then (so that p-queue's `priority`, set when something gets in line, decides
 * nothing), and where several may be in flight puts the next turn behind itself. A turn
 * that finds nothing ends; whatever may change that (a message that comes in or settles, a flight that
 * ends, a backoff that is over) wakes the scheduler, which puts turns into the queues anew.
 */
export class Scheduler {
  /** The messages in memory. */
  readonly backlog: Backlog;
  readonly #options: DeliveryOptions;
  readonly #affinity: Affinity;
  readonly #attempts: Attempts;
  readonly #attribution: Attribution;
  readonly #turns: ReadonlyMap<Controller, PQueue>;
  readonly #flights = new Set<Flight>();
  #timer: Timer | undefined;
  #plannedFor = Infinity;
  #isRunning = false;
  #grace: Timer | undefined;

  constructor(options: DeliveryOptions) {
    const { controllers, clock, locks, affinity = new Affinity(clock) } = options;
    this.backlog = new Backlog(options);
    this.#options = options;
    this.#affinity = affinity;
    this.#attempts = new Attempts(options, affinity);
    this.#attribution = new Attribution(options, this.backlog, this.#attempts);
    this.#turns = new Map(controllers.map((each) => [each, new PQueue({ concurrency: 1 })]));
    locks.onKeyReleased(() => this.wake(), this.#attempts.aborting.signal);
  }

  // --- what the spool says

  /** A message came into the queue; one that isn't settled may still be written to. */
  enqueued(entry: MessageEntry, settled: boolean): void {
    const { clock, settleMs } = this.#options;
    this.backlog.add(entry, clock.monotonic() + (settled ? 0 : settleMs));
    this.wake();
  }

  /** A message of the queue gave way to a newer verdict. */
  superseded(verdict: Verdict, key: string): void {
    this.#options.events.superseded(verdict, key, this.backlog.forget(key));
    this.wake();
  }

  /** The queue may hold messages that no event named. */
  rescan(): void {
    this.backlog.rescan();
    this.wake();
  }

  // --- running

  /** Starts delivering; before this nothing is started, nor after `stop`. */
  start(): void {
    this.#isRunning = true;
    this.wake();
  }

  /** Something that messages waited for is over. */
  wake(): void {
    this.#plan(0);
  }

  /** Tries everything now that waits for a better moment. */
  retryNow(): void {
    for (const controller of this.#options.controllers) controller.retryNow();
    this.backlog.hurryAll();
    this.wake();
  }

  /** Ends waits at once, and aborts posts after `graceMs`. Messages that are due go on being tried. */
  hurryUp(graceMs: number): void {
    const { ending, aborting } = this.#attempts;
    ending.abort();
    this.#grace = this.#options.clock.after(graceMs, () => aborting.abort());
  }

  /** Starts nothing more; resolves when nothing is in flight any more. */
  async stop(): Promise<void> {
    this.#isRunning = false;
    this.#timer?.cancel();
    this.#attempts.ending.abort();
    this.backlog.close();
    await Promise.all([...this.#turns.values()].map((queue) => queue.onIdle()));
    this.#grace?.cancel();
    this.#attempts.aborting.abort();
  }

  /** True once posts are aborted. */
  get isAborted(): boolean {
    return this.#attempts.aborting.signal.aborted;
  }

  /** What is in memory, by state. */
  get counts(): { readonly pending: number; readonly deferred: number; readonly inFlight: number } {
    const { pending, deferred, inFlight } = this.backlog;
    return { pending: pending.size, deferred: deferred.size, inFlight: inFlight.size };
  }

  /** Milliseconds since it should have looked for something to start; 0 while it does. */
  get overdueMs(): number {
    if (!this.#isRunning) return 0;
    return Math.max(0, this.#options.clock.monotonic() - this.#plannedFor);
  }

  /** How long the message that is longest in flight has been so, in milliseconds. */
  get longestFlightMs(): number {
    const now = this.#options.clock.monotonic();
    return Math.max(0, ...[...this.#flights].map(({ startedAt }) => now - startedAt));
  }

  /**
   * True when all that is left waits after a failure of its own, or for controllers that failed
   * `probes` times in a row.
   */
  isSpent(probes: number): boolean {
    const { pending, inFlight, isDrained } = this.backlog;
    if (this.#flights.size + inFlight.size > 0) return false;
    if (isDrained || this.#options.controllers.every((each) => each.isGivenUp(probes))) return true;
    // What is bound to a controller that is given up won't go anywhere else.
    return (
      pending.size > 0 &&
      [...pending.values()].every((each) => this.boundTo(each)?.isGivenUp(probes) === true)
    );
  }

  // --- turns

  /** Looks again in so many milliseconds, unless that is planned for sooner. */
  #plan(ms: number): void {
    const { clock, bugs } = this.#options;
    const at = clock.monotonic() + ms;
    // A timer that every wake puts off would never go off.
    if (!this.#isRunning || at >= this.#plannedFor) return;
    this.#timer?.cancel();
    this.#plannedFor = at;
    this.#timer = clock.after(ms, () => {
      this.#plannedFor = Infinity;
      try {
        this.#pump();
      } catch (error) {
        bugs.report(error, 'the scheduler');
        this.#plan(DiskFaults.retryMs);
      }
    });
  }

  /** Starts what can be started, and plans when to look again. */
  #pump(): void {
    const { faults, controllers, clock } = this.#options;
    // Read before anything is chosen: what falls due meanwhile is chosen, or planned for.
    const now = clock.monotonic();
    this.backlog.refill();
    if (faults.isAny) this.backlog.clearIdleFaults();
    // A probe comes first: an open controller would take every message from a paused one.
    for (const each of controllers) if (!each.isOpen) this.#takeTurns(each);
    for (const each of controllers) if (each.isOpen) this.#takeTurns(each);
    this.#plan(this.#untilNext(now));
  }

  #untilNext(now: number): number {
    const { controllers, faults } = this.#options;
    let next = Math.min(this.backlog.refillAt, this.backlog.nextDueAfter(now));
    const moments = controllers.flatMap((each) => [
      each.retryAt,
      each.freshAt,
      each.guiltyNotBefore,
    ]);
    // What is due already waits for something else, which wakes the scheduler when it ends.
    for (const at of [...moments, faults.retryAt(DISPOSAL)])
      if (at > now) next = Math.min(next, at);
    return Math.max(1, next - now);
  }

  /** Sets what a controller may have in flight, and sees to it that a turn waits. */
  #takeTurns(controller: Controller): void {
    const queue = this.#permit(controller);
    if (queue?.size !== 0) return;
    // One at a time: the next one starts when the connection of the last one is closed, too.
    if (queue.concurrency === 1 && this.#flightsOn(controller).length > 0) return;
    queue
      .add(() => this.#turn(controller))
      .catch((error: unknown) => {
        this.#options.bugs.report(error, 'a turn of the scheduler');
        this.#plan(DiskFaults.retryMs);
      });
  }

  #permit(controller: Controller): PQueue | undefined {
    const queue = this.#turns.get(controller);
    const isExclusive = this.#flightsOn(controller).some((each) => each.isExclusive);
    const concurrency = controller.takesSeveral && !isExclusive ? this.#options.concurrency : 1;
    if (queue !== undefined && queue.concurrency !== concurrency) queue.concurrency = concurrency;
    return queue;
  }

  async #turn(controller: Controller): Promise<void> {
    if (!this.#isRunning) return;
    const now = this.#options.clock.monotonic();
    const isProbe = !controller.isOpen;
    const message = isProbe ? this.#chooseProbe(controller, now) : this.#choose(controller, now);
    if (message === undefined) return;
    const flight = this.#takeOff(message, controller, isProbe);
    this.#takeTurns(controller);
    await this.#fly(flight);
  }

  // --- choosing

  /** The message that goes to an open controller next. */
  #choose(controller: Controller, now: number): PendingMessage | undefined {
    const { pending } = this.backlog;
    const bytes = [...this.#flights].reduce((sum, flight) => sum + flight.bytes, 0);
    const othersWait = (): boolean => [...pending.values()].some((each) => !each.isGuilty);
    for (const message of pending.values()) {
      if (!this.#isReady(message, now) || this.#controllerFor(message) !== controller) continue;
      if (bytes > 0 && bytes + message.entry.bytes > BODIES_BYTES) return undefined;
      if (!message.failures.alone) return message;
      if (message.isGuilty && controller.guiltyNotBefore > now && othersWait()) continue;
      // What has to be alone waits until the controller has run empty, and nothing overtakes it.
      return this.#flightsOn(controller).length === 0 ? message : undefined;
    }
    return undefined;
  }

  /** The message that shows whether a paused controller works again, once it is time for that. */
  #chooseProbe(controller: Controller, now: number): PendingMessage | undefined {
    if (this.#flightsOn(controller).length > 0) return undefined;
    const nobodyOpen = this.#options.controllers.every((each) => !each.isOpen);
    const isItsTurn = controller.retryAt <= now;
    let best: PendingMessage | undefined;
    let bestScore = -1;
    for (const message of this.backlog.pending.values()) {
      if (!controller.mayProbe(message, now) || !this.#isReady(message, now)) continue;
      const bound = this.boundTo(message);
      const isPreferred = nobodyOpen || message.preference[0] === controller.name;
      if (bound === undefined ? !isPreferred : bound !== controller) continue;
      // What failed here goes to the others; left without an answer it would be bound to this one.
      if (bound === undefined && !nobodyOpen && message.failures.any) continue;
      const isBound = bound === controller;
      // Never the same twice running while another waits. What hasn't failed since the controller was
      // up tells most; then comes what is already bound to it, and is set free by any answer: that has
      // its turn whenever the backoff is over.
      const score =
        (message.entry.key === controller.lastProbe ? 0 : 8) +
        (controller.hasFailedHere(message) && !(isBound && isItsTurn) ? 0 : 4) +
        (isBound ? 2 : 0) +
        (message.failures.charges === 0 ? 1 : 0);
      if (score <= bestScore) continue;
      best = message;
      bestScore = score;
    }
    return best;
  }

  /** May go now, as far as it is up to the message and the disk. */
  #isReady(message: PendingMessage, now: number): boolean {
    const { state, disposition } = message;
    if (state.kind !== 'pending' || state.dueAt > now) return false;
    if (!this.#options.locks.areFree(locksOf(message))) return false;
    // What can't be disposed of would be posted again and again.
    return disposition !== undefined || this.#options.faults.retryAt(DISPOSAL) <= now;
  }

  #controllerFor(message: PendingMessage): Controller | undefined {
    const bound = this.boundTo(message);
    if (bound !== undefined) return bound.isOpen ? bound : undefined;
    return message.preference
      .map((name) => this.#named(name))
      .find((controller) => controller?.isOpen === true);
  }

  /** The controller that a message is bound to by a post without an answer. */
  boundTo(message: PendingMessage): Controller | undefined {
    return this.#named(this.#affinity.controllerOf(locksOf(message)));
  }

  #named(name: string | undefined): Controller | undefined {
    return this.#options.controllers.find((each) => each.name === name);
  }

  // --- in flight

  #flightsOn(controller: Controller): readonly Flight[] {
    return [...this.#flights].filter((each) => each.controller === controller);
  }

  #takeOff(message: PendingMessage, controller: Controller, isProbe: boolean): Flight {
    const { clock, locks } = this.#options;
    const others = this.#flightsOn(controller);
    for (const other of others) other.wasAlone = false;
    const flight: Flight = {
      message,
      controller,
      isProbe,
      startedAt: clock.monotonic(),
      bytes: message.entry.bytes,
      wasAlone: others.length === 0,
      isExclusive: isProbe || message.failures.alone,
    };
    if (isProbe) controller.lastProbe = message.entry.key;
    this.backlog.launch(message);
    this.#flights.add(flight);
    locks.holdKey(message.entry.key);
    return flight;
  }

  async #fly(flight: Flight): Promise<void> {
    const { message, controller } = flight;
    try {
      await this.#attribution.judge(flight, await this.#attempts.try(message, controller));
    } catch (error) {
      this.#setAside(message, error);
    }
    this.#flights.delete(flight);
    this.backlog.land(message);
    this.#permit(controller);
    this.#options.locks.releaseKey(message.entry.key);
  }

  /** A message that met an error of this program must not stop the others, nor be lost. */
  #setAside(message: PendingMessage, error: unknown): void {
    const { bugs, random } = this.#options;
    const { verdict, key } = message.entry;
    const messageId = message.identity?.messageId;
    bugs.report(error, 'a message in flight', { verdict, file: key, messageId });
    message.failures.bugs += 1;
    message.failures.any = true;
    this.backlog.defer(message, backoffMs(message.failures.bugs, random()));
  }
}

function locksOf(message: PendingMessage): readonly string[] {
  return message.identity?.locks ?? [keyLock(message.entry.key)];
}
