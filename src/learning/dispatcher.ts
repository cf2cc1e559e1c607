import PQueue from 'p-queue';
import type { Clock, Timer } from '../clock.ts';
import type { LogThrottle } from '../logger.ts';
import { Faults } from '../spool/faults.ts';
import { clean } from '../text.ts';
import { settleTime } from '../spool/message.ts';
import type { QueueEntry, Verdict } from '../spool/message.ts';
import type { FoundEntry, Queue } from '../spool/queue.ts';
import { backoffMs } from './backoff.ts';
import type { Controller } from './controller.ts';
import { newDelivery, renew } from './delivery.ts';
import type { Delivery } from './delivery.ts';
import { keyLane } from './identity.ts';
import type { Lanes } from './lanes.ts';
import { UNPROVEN_ROUNDS } from './learner.ts';
import type { Attempt, Learner } from './learner.ts';
import type { MessageLog } from './message-log.ts';
import { preferenceOf } from './preference.ts';

/**
 * The dispatcher decides which message of the queue goes to which controller, and when. It holds
 * at most a backlog of pending messages in memory, and as many deferred ones; the rest waits in the
 * queue's folders, which are the only durable state.
 *
 * A message is pending (it may go as soon as it has settled, its lanes are free and its controller
 * has room), in flight, or deferred (it waits after a failure of its own). A failure that is the
 * controller's leaves it pending.
 */

/** Bodies in flight take this much memory in all; a larger one goes alone. */
const BODIES_BYTES = 64 * 1024 * 1024;
/** Trials of charged messages take at most this part of the time while others wait. */
const TRIAL_SHARE = 10;

export interface DispatcherOptions {
  readonly controllers: readonly Controller[];
  readonly queue: Queue;
  readonly learner: Learner;
  readonly lanes: Lanes;
  readonly messages: MessageLog;
  readonly faults: Faults;
  readonly clock: Clock;
  readonly random: () => number;
  readonly throttle: LogThrottle;
  readonly acquits: (controller: Controller) => Promise<boolean>;
  /** The key is no longer in flight. */
  readonly onReleased: (key: string) => void;
  readonly concurrency: number;
  readonly backlog: number;
  readonly maxAttempts: number;
  readonly settleMs: number;
  readonly rescanMs: number;
}

export class Dispatcher {
  readonly #options: DispatcherOptions;
  readonly #controllers: ReadonlyMap<string, Controller>;
  readonly #names: readonly string[];
  readonly #queues = new Map<Controller, PQueue>();
  readonly #pending = new Map<string, Delivery>();
  readonly #deferred = new Map<string, Delivery>();
  readonly #inFlight = new Map<string, Delivery>();
  #scan: Generator<FoundEntry, void, undefined> | undefined;
  /** The queue's folders may hold what memory doesn't. */
  #scanWanted = true;
  #rescanAt = 0;
  #bodiesBytes = 0;
  #timer: Timer | undefined;
  /** Nothing is started before `start`, nor after `stop`. */
  #isRunning = false;
  #pumping = false;

  constructor(options: DispatcherOptions) {
    this.#options = options;
    this.#controllers = new Map(options.controllers.map((each) => [each.name, each]));
    this.#names = [...this.#controllers.keys()];
    for (const controller of options.controllers) {
      this.#queues.set(controller, new PQueue({ concurrency: options.concurrency }));
    }
  }

  // --- what pickup says

  isInFlight(key: string): boolean {
    return this.#options.lanes.isHeld(keyLane(key));
  }

  /** A message came into the queue. */
  offer(entry: QueueEntry, settled: boolean): void {
    this.#forget(entry.key);
    if (this.#pending.size >= this.#options.backlog) {
      this.#scanWanted = true;
      return;
    }
    const now = this.#options.clock.monotonic();
    this.#add(entry, settled ? now : now + this.#options.settleMs);
    this.#plan(0);
  }

  /** A message of the queue gave way to a newer verdict. */
  supersede(verdict: Verdict, key: string): void {
    const delivery = this.#forget(key);
    this.#options.messages.superseded(verdict, key, delivery?.identity?.messageId);
  }

  // --- running

  /** Starts delivering. */
  start(): void {
    this.#isRunning = true;
    this.#plan(0);
  }

  /** Tries everything now that waits for a better moment. */
  retryNow(): void {
    for (const controller of this.#options.controllers) controller.retryNow();
    for (const delivery of this.#deferred.values()) delivery.dueAt = 0;
    this.#scanWanted = true;
    this.#plan(0);
  }

  /** What is in memory, by state. */
  get counts(): { readonly pending: number; readonly deferred: number; readonly inFlight: number } {
    return {
      pending: this.#pending.size,
      deferred: this.#deferred.size,
      inFlight: this.#inFlight.size,
    };
  }

  /** True when nothing can be done any more but wait for a deferred message or a controller. */
  isSpent(probes: number): boolean {
    if (this.#inFlight.size > 0) return false;
    const { controllers } = this.#options;
    if (controllers.every((each) => !each.isOpen && each.failures >= probes)) return true;
    return this.#pending.size === 0 && !this.#scanWanted && this.#scan === undefined;
  }

  /** Starts nothing more; resolves when nothing is in flight any more. */
  async stop(): Promise<void> {
    this.#isRunning = false;
    this.#timer?.cancel();
    this.#scan?.return();
    this.#scan = undefined;
    await Promise.all([...this.#queues.values()].map((queue) => queue.onIdle()));
  }

  #plan(ms: number): void {
    if (!this.#isRunning) return;
    this.#timer?.cancel();
    this.#timer = this.#options.clock.after(ms, () => {
      this.#pump();
    });
  }

  /** Starts what can be started, and plans when to look again. */
  #pump(): void {
    if (!this.#isRunning || this.#pumping) return;
    this.#pumping = true;
    try {
      this.#recallDeferred();
      this.#refill();
      this.#probe();
      this.#feed();
    } finally {
      this.#pumping = false;
    }
    this.#plan(this.#untilNext());
  }

  #untilNext(): number {
    const { clock, controllers } = this.#options;
    const now = clock.monotonic();
    let next = this.#rescanAt;
    const later = (at: number): void => {
      // What is due already waits for something else, which pumps when it ends.
      if (at > now) next = Math.min(next, at);
    };
    for (const delivery of this.#pending.values()) later(delivery.dueAt);
    for (const delivery of this.#deferred.values()) later(delivery.dueAt);
    for (const controller of controllers) {
      later(controller.retryAt ?? 0);
      later(controller.nextTrialAt);
    }
    return Math.max(1, next - now);
  }

  // --- memory

  #add(entry: QueueEntry, dueAt: number): void {
    this.#pending.set(entry.key, newDelivery(entry, dueAt, preferenceOf(entry.key, this.#names)));
  }

  #forget(key: string): Delivery | undefined {
    const delivery = this.#pending.get(key) ?? this.#deferred.get(key);
    if (delivery === undefined) return undefined;
    this.#pending.delete(key);
    this.#deferred.delete(key);
    for (const controller of this.#options.controllers) controller.forget(delivery);
    return delivery;
  }

  #knows(key: string): boolean {
    return this.#pending.has(key) || this.#deferred.has(key) || this.#inFlight.has(key);
  }

  #recallDeferred(): void {
    const now = this.#options.clock.monotonic();
    for (const [key, delivery] of this.#deferred) {
      if (delivery.dueAt > now && delivery.unprovenRounds < UNPROVEN_ROUNDS) continue;
      this.#deferred.delete(key);
      delivery.state = 'pending';
      this.#pending.set(key, delivery);
    }
  }

  /** Fills memory up from the queue's folders when it has run half empty. */
  #refill(): void {
    const { backlog, clock, queue, settleMs, rescanMs, faults } = this.#options;
    const now = clock.monotonic();
    if (now >= this.#rescanAt) {
      this.#rescanAt = now + rescanMs;
      this.#scanWanted = true;
    }
    if (this.#pending.size > backlog / 2) return;
    try {
      while (this.#pending.size < backlog) {
        if (this.#scan === undefined) {
          if (!this.#scanWanted) return;
          this.#scanWanted = false;
          this.#scan = queue.scan();
        }
        const next = this.#scan.next();
        if (next.done === true) {
          this.#scan = undefined;
          continue;
        }
        const { entry, marked } = next.value;
        if (!this.#knows(entry.key)) this.#add(entry, now + settleTime(marked, settleMs));
      }
    } catch (error) {
      this.#scan = undefined;
      faults.raise(queue.folder('spam').path, error);
    }
  }

  // --- choosing

  /** May go now, as far as it is up to the message. */
  #isReady(delivery: Delivery, now: number): boolean {
    if (delivery.dueAt > now) return false;
    const { lanes } = this.#options;
    return lanes.areFree(delivery.identity?.lanes ?? [keyLane(delivery.entry.key)]);
  }

  #pinOf(delivery: Delivery): Controller | undefined {
    const lanes = delivery.identity?.lanes ?? [keyLane(delivery.entry.key)];
    const name = this.#options.lanes.pinnedTo(lanes);
    return name === undefined ? undefined : this.#controllers.get(name);
  }

  /** Gives each paused controller whose time has come one probing message. */
  #probe(): void {
    const now = this.#options.clock.monotonic();
    for (const controller of this.#options.controllers) {
      if (controller.isOpen || controller.inFlight > 0 || (controller.retryAt ?? 0) > now) continue;
      const probe = this.#chooseProbe(controller, now);
      if (probe === undefined) continue;
      controller.lastProbe = probe.entry.key;
      this.#start(probe, controller, { alone: true, probing: true });
    }
  }

  #chooseProbe(controller: Controller, now: number): Delivery | undefined {
    const nobodyOpen = this.#options.controllers.every((each) => !each.isOpen);
    let best: Delivery | undefined;
    let bestScore = -1;
    for (const delivery of this.#pending.values()) {
      if (!this.#isReady(delivery, now)) continue;
      const pin = this.#pinOf(delivery);
      const isIts = nobodyOpen || delivery.preference[0] === controller.name;
      if (pin === undefined ? !isIts : pin !== controller) continue;
      // Never the same twice running while another waits; then what is already bound to it.
      const score =
        (delivery.entry.key === controller.lastProbe ? 0 : 4) +
        (pin === controller ? 2 : 0) +
        (delivery.charges === 0 ? 1 : 0);
      if (score <= bestScore) continue;
      best = delivery;
      bestScore = score;
    }
    return best;
  }

  /** Gives the open controllers as many messages as they take. */
  #feed(): void {
    const { clock, concurrency, controllers } = this.#options;
    const now = clock.monotonic();
    const reserved = new Set<Controller>();
    for (const delivery of this.#pending.values()) {
      const hasRoom = (each: Controller): boolean =>
        each.isOpen && !reserved.has(each) && each.hasRoom(concurrency);
      if (!controllers.some(hasRoom)) return;
      if (!this.#isReady(delivery, now)) continue;
      const controller = this.#controllerFor(delivery);
      if (controller === undefined || !hasRoom(controller)) continue;
      if (!this.#bodyFits(delivery)) return;
      if (!delivery.alone) this.#start(delivery, controller, { alone: false, probing: false });
      else if (delivery.charges > 0 && controller.nextTrialAt > now && this.#othersWait()) continue;
      else if (controller.inFlight > 0)
        reserved.add(controller); // until it has run empty
      else this.#start(delivery, controller, { alone: true, probing: false });
    }
  }

  #controllerFor(delivery: Delivery): Controller | undefined {
    const pin = this.#pinOf(delivery);
    if (pin !== undefined) return pin.isOpen ? pin : undefined;
    for (const name of delivery.preference) {
      const controller = this.#controllers.get(name);
      if (controller?.isOpen === true) return controller;
    }
    return undefined;
  }

  #bodyFits(delivery: Delivery): boolean {
    const size = Number(delivery.entry.stamp.size);
    return this.#bodiesBytes === 0 || this.#bodiesBytes + size <= BODIES_BYTES;
  }

  #othersWait(): boolean {
    for (const delivery of this.#pending.values()) if (delivery.charges === 0) return true;
    return false;
  }

  // --- in flight

  #start(
    delivery: Delivery,
    controller: Controller,
    how: { readonly alone: boolean; readonly probing: boolean },
  ): void {
    const { key, stamp } = delivery.entry;
    this.#pending.delete(key);
    this.#inFlight.set(key, delivery);
    delivery.state = 'in flight';
    this.#options.lanes.hold([keyLane(key)]);
    controller.inFlight += 1;
    controller.exclusive = how.alone;
    this.#bodiesBytes += Number(stamp.size);
    const flight: Flight = {
      controller,
      probing: how.probing,
      startedAt: this.#options.clock.monotonic(),
      wasAlone: controller.inFlight === 1,
    };
    if (!flight.wasAlone) for (const other of this.#flights) spoil(other, controller);
    this.#flights.add(flight);
    void this.#queues.get(controller)?.add(async () => {
      try {
        await this.#fly(delivery, flight);
      } finally {
        this.#flights.delete(flight);
        this.#bodiesBytes -= Number(stamp.size);
        controller.inFlight -= 1;
        controller.exclusive = false;
        this.#inFlight.delete(key);
        this.#options.lanes.release([keyLane(key)]);
        this.#options.onReleased(key);
        this.#plan(0);
      }
    });
  }

  readonly #flights = new Set<Flight>();

  async #fly(delivery: Delivery, flight: Flight): Promise<void> {
    try {
      const attempt = await this.#options.learner.attempt(delivery, flight.controller);
      await this.#land(delivery, flight, attempt);
    } catch (error) {
      // A fault of this program: one message must not stop the others, nor be lost.
      const name = error instanceof Error ? `${error.name}: ${clean(error.message)}` : 'unknown';
      this.#deferAndSay(delivery, `internal error (${name})`, delivery.tries + 1, 0);
    }
  }

  /** Draws the conclusions from a try. */
  async #land(delivery: Delivery, flight: Flight, attempt: Attempt): Promise<void> {
    const { controller, probing } = flight;
    const { messages, clock } = this.#options;
    const tookMs = clock.monotonic() - flight.startedAt;
    if (attempt.shown === 'proof') await this.#proved(delivery, controller);
    else if (attempt.shown === 'answer') controller.answered();
    switch (attempt.kind) {
      case 'done':
        controller.forget(delivery);
        messages.finished(delivery, attempt.finish, tookMs);
        break;
      case 'withdrawn':
        controller.forget(delivery);
        messages.withdrawn(delivery);
        break;
      case 'unsettled': {
        const entry = { ...delivery.entry, stamp: attempt.stamp };
        renew(delivery, entry, clock.monotonic() + this.#options.settleMs);
        this.#return(delivery);
        break;
      }
      case 'busy':
        this.#return(delivery);
        break;
      case 'fault':
        this.#defer(delivery, Faults.retryMs);
        break;
      case 'unproven':
        controller.unproven(delivery, probing);
        delivery.unprovenTries += 1;
        this.#deferAndSay(
          delivery,
          'no proof that rspamd remembers it',
          delivery.unprovenTries,
          tookMs,
        );
        break;
      case 'failed':
        await this.#failed(delivery, flight, attempt.outcome, tookMs);
        break;
    }
  }

  async #failed(
    delivery: Delivery,
    flight: Flight,
    outcome: Extract<Attempt, { kind: 'failed' }>['outcome'],
    tookMs: number,
  ): Promise<void> {
    const { controller, probing } = flight;
    switch (outcome.kind) {
      case 'aborted':
        break;
      case 'unavailable':
        controller.failed(outcome.reason, outcome.contact === 'answered', probing);
        break;
      case 'misconfigured':
        controller.misconfigured(outcome, probing);
        break;
      case 'deferred':
        await this.#blame(delivery, flight, outcome, tookMs);
        return;
    }
    this.#return(delivery);
  }

  /** An unknown failure: whose is it? */
  async #blame(
    delivery: Delivery,
    flight: Flight,
    outcome: Extract<Attempt, { kind: 'failed' }>['outcome'] & { kind: 'deferred' },
    tookMs: number,
  ): Promise<void> {
    const { controller, probing } = flight;
    if (!flight.wasAlone) {
      // One of those in flight may have done it: each is tried alone next time.
      delivery.alone = true;
      controller.failed(outcome.reason, outcome.answered, probing);
    } else if (outcome.answered) {
      delivery.alone = true;
      controller.accuse(delivery, outcome.reason, probing);
    } else if (await this.#acquitted(controller)) {
      if (probing) controller.answered();
      await this.#charge(delivery, controller, outcome.reason, tookMs);
      return;
    } else {
      controller.failed(outcome.reason, false, probing);
    }
    this.#return(delivery);
  }

  async #acquitted(controller: Controller): Promise<boolean> {
    controller.exclusive = true;
    return this.#options.acquits(controller);
  }

  async #proved(delivery: Delivery, controller: Controller): Promise<void> {
    const charged = controller.proved(delivery);
    // In flight elsewhere, superseded or gone, it has a new chance.
    if (charged?.state !== 'pending' || this.#pending.get(charged.entry.key) !== charged) return;
    const { key } = charged.entry;
    this.#pending.delete(key);
    // Nothing may take its place while its file is moved.
    this.#options.lanes.hold([keyLane(key)]);
    try {
      await this.#charge(charged, controller, 'an unknown error that only this message gets', 0);
    } finally {
      this.#options.lanes.release([keyLane(key)]);
      this.#options.onReleased(key);
    }
  }

  async #charge(
    delivery: Delivery,
    controller: Controller,
    reason: string,
    tookMs: number,
  ): Promise<void> {
    const { maxAttempts, learner, clock, messages } = this.#options;
    delivery.charges += 1;
    delivery.alone = true;
    controller.nextTrialAt = clock.monotonic() + tookMs * (TRIAL_SHARE - 1);
    if (delivery.charges < maxAttempts) {
      this.#deferAndSay(delivery, reason, delivery.charges, tookMs);
      return;
    }
    const attempt = await learner.condemn(
      delivery,
      `${reason}, ${delivery.charges} times with nobody else to blame`,
    );
    if (attempt.kind === 'done') messages.finished(delivery, attempt.finish, tookMs);
    else if (attempt.kind === 'withdrawn') messages.withdrawn(delivery);
    else this.#defer(delivery, Faults.retryMs);
  }

  /** Back to the end of the line. */
  #return(delivery: Delivery): void {
    delivery.state = 'pending';
    this.#pending.set(delivery.entry.key, delivery);
  }

  #deferAndSay(delivery: Delivery, reason: string, failures: number, tookMs: number): void {
    const waitMs = backoffMs(failures, this.#options.random());
    this.#defer(delivery, waitMs);
    if (this.#options.throttle.allows(`deferred ${delivery.entry.key}`, reason)) {
      this.#options.messages.deferred(delivery, reason, waitMs, tookMs);
    }
  }

  #defer(delivery: Delivery, waitMs: number): void {
    if (this.#deferred.size >= this.#options.backlog) {
      // It waits on disk and is found by a later scan.
      for (const controller of this.#options.controllers) controller.forget(delivery);
      return;
    }
    delivery.dueAt = this.#options.clock.monotonic() + waitMs;
    delivery.state = 'deferred';
    this.#deferred.set(delivery.entry.key, delivery);
  }
}

/** One message on its way. */
interface Flight {
  readonly controller: Controller;
  readonly probing: boolean;
  readonly startedAt: number;
  /** No other message was in flight on its controller at any moment of it. */
  wasAlone: boolean;
}

function spoil(flight: Flight, controller: Controller): void {
  if (flight.controller === controller) flight.wasAlone = false;
}
