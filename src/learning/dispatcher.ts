import PQueue from 'p-queue';
import type { Bugs } from '../bugs.ts';
import type { Timer } from '../clock.ts';
import { Faults } from '../spool/faults.ts';
import type { QueueEntry } from '../spool/message.ts';
import type { Verdict } from '../verdict.ts';
import { backoffMs } from './backoff.ts';
import { Backlog } from './backlog.ts';
import { Blame } from './blame.ts';
import type { BlameOptions, Flight } from './blame.ts';
import type { Controller } from './controller.ts';
import type { Delivery } from './delivery.ts';
import { keyLane } from './identity.ts';
import { DISPOSAL, disposalOf, quarantined } from './learner.ts';
import { NOTHING_LEFT } from './proof.ts';

/**
 * The dispatcher decides which message of the queue goes to which controller, and when. It is
 * pumped by whatever changes the answer: a message that comes in or settles, a flight that ends, a
 * backoff that is over.
 */

/** Bodies in flight take this much memory in all; a larger one goes alone. */
const BODIES_BYTES = 64 * 1024 * 1024;

export interface DispatcherOptions extends Omit<BlameOptions, 'backlog'> {
  readonly controllers: readonly Controller[];
  readonly faults: Faults;
  readonly bugs: Bugs;
  readonly concurrency: number;
  /** Most messages held in memory. */
  readonly backlog: number;
  readonly settleMs: number;
  readonly rescanMs: number;
}

export class Dispatcher {
  readonly #options: DispatcherOptions;
  readonly #controllers: ReadonlyMap<string, Controller>;
  readonly #queues: ReadonlyMap<Controller, PQueue>;
  readonly #backlog: Backlog;
  readonly #blame: Blame;
  readonly #flights = new Set<Flight>();
  #bodiesBytes = 0;
  #timer: Timer | undefined;
  #plannedFor = Infinity;
  /** Nothing is started before `start`, nor after `stop`. */
  #isRunning = false;

  constructor(options: DispatcherOptions) {
    const { controllers, concurrency, faults } = options;
    this.#options = options;
    this.#controllers = new Map(controllers.map((each) => [each.name, each]));
    this.#queues = new Map(controllers.map((each) => [each, new PQueue({ concurrency })]));
    this.#backlog = new Backlog({
      ...options,
      controllers: [...this.#controllers.keys()],
      onForgotten: (delivery) => {
        faults.clear(disposalOf(delivery));
        for (const controller of controllers) controller.forget(delivery);
      },
    });
    this.#blame = new Blame({ ...options, backlog: this.#backlog });
  }

  // --- what pickup says

  /** A message came into the queue; one that isn't settled may still be written to. */
  offer(entry: QueueEntry, settled: boolean): void {
    const now = this.#options.clock.monotonic();
    this.#backlog.add(entry, settled ? now : now + this.#options.settleMs);
    this.#plan(0);
  }

  /** A message of the queue gave way to a newer verdict. */
  supersede(verdict: Verdict, key: string): void {
    this.#options.messages.superseded(verdict, key, this.#backlog.forget(key));
    this.#plan(0);
  }

  // --- running

  /** Starts delivering. */
  start(): void {
    this.#isRunning = true;
    this.#plan(0);
  }

  /** Something that messages waited for is over. */
  wake(): void {
    this.#plan(0);
  }

  /** Looks into the queue for what it was not told of. */
  rescan(): void {
    this.#backlog.rescan();
    this.#plan(0);
  }

  /** Tries everything now that waits for a better moment. */
  retryNow(): void {
    for (const controller of this.#options.controllers) controller.retryNow();
    this.#backlog.hurry();
    this.#plan(0);
  }

  /** Proves what is only acknowledged so far: the last message of each controller goes again. */
  proveRest(): void {
    for (const delivery of this.#options.ledger.takeLast()) this.#backlog.queueUp(delivery);
    this.#plan(0);
  }

  /**
   * Lets the last few messages go, as learned, when all that is left was answered 200 and never proven
   * in so many rounds: no other message comes any more whose proof would tell that apart from an
   * outage. More than `most` are not let go: so many are an outage.
   */
  letUnprovenGo(rounds: number, most: number): void {
    const { pending, deferred, inFlight } = this.#backlog;
    const left = [...pending.values(), ...deferred.values()];
    if (inFlight.size > 0 || left.length === 0 || left.length > most) return;
    if (left.some((each) => each.unprovenTries < rounds)) return;
    const answering = this.#options.controllers.filter((each) => each.lacksOnlyProof);
    if (answering.length === 0) return;
    for (const each of left) each.letGo = NOTHING_LEFT;
    for (const each of answering) each.retryNow();
    this.#plan(0);
  }

  /**
   * Ends the last messages, as failed, when all that is left got an error for an answer at least so
   * often although others were proven in between.
   */
  endRepeaters(times: number): void {
    const { pending, deferred, inFlight } = this.#backlog;
    const left = [...pending.values(), ...deferred.values()];
    if (inFlight.size > 0 || left.some((each) => each.repeats < times)) return;
    for (const each of left) {
      const reason = each.error ?? 'an unknown error';
      each.finish = quarantined(`${reason}, each time, while others were learned`);
      each.dueAt = 0;
    }
    this.#plan(0);
  }

  /** The last error that a message got for an answer. */
  errorOf(key: string): string | undefined {
    return this.#backlog.find(key)?.error;
  }

  /** True when all that is left got an error for an answer, while others were proven. */
  get isFailing(): boolean {
    const { pending, deferred, inFlight } = this.#backlog;
    const left = [...pending.values(), ...deferred.values(), ...inFlight.values()];
    return (
      this.#options.controllers.some((each) => each.lastProofAt !== undefined) &&
      left.every((each) => each.error !== undefined)
    );
  }

  /** True when every message that is left has failed before, or is bound to a controller that does. */
  get isGoingNowhere(): boolean {
    const { pending, deferred, inFlight } = this.#backlog;
    if (pending.size + deferred.size + inFlight.size === 0) return false;
    return (
      [...inFlight.values()].every((each) => each.hasFailed) &&
      [...pending.values()].every((each) => each.hasFailed || this.#pinOf(each)?.isOpen === false)
    );
  }

  /** What is in memory, by state. */
  get counts(): { readonly pending: number; readonly deferred: number; readonly inFlight: number } {
    const { pending, deferred, inFlight } = this.#backlog;
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
    let longest = 0;
    for (const { startedAt } of this.#flights) longest = Math.max(longest, now - startedAt);
    return longest;
  }

  /**
   * True when all that is left waits after a failure of its own, or for controllers that failed
   * `probes` times in a row.
   */
  isSpent(probes: number): boolean {
    const { pending, inFlight, isDrained } = this.#backlog;
    if (inFlight.size > 0) return false;
    const { controllers } = this.#options;
    if (controllers.every((each) => each.isGivenUp(probes))) return true;
    if (isDrained) return true;
    // What is bound to a controller that is given up won't go anywhere else.
    return (
      pending.size > 0 &&
      [...pending.values()].every((each) => this.#pinOf(each)?.isGivenUp(probes) === true)
    );
  }

  /** Starts nothing more; resolves when nothing is in flight any more. */
  async stop(): Promise<void> {
    this.#isRunning = false;
    this.#timer?.cancel();
    this.#backlog.close();
    await Promise.all([...this.#queues.values()].map((queue) => queue.onIdle()));
  }

  #plan(ms: number): void {
    if (!this.#isRunning) return;
    this.#timer?.cancel();
    this.#plannedFor = this.#options.clock.monotonic() + ms;
    this.#timer = this.#options.clock.after(ms, () => {
      try {
        this.#pump();
      } catch (error) {
        this.#options.bugs.report(error, 'the dispatcher');
        this.#plan(Faults.retryMs);
      }
    });
  }

  /** Starts what can be started, and plans when to look again. */
  #pump(): void {
    // One moment for all of it: what falls due between two looks at the clock would be missed.
    const now = this.#options.clock.monotonic();
    this.#backlog.refill();
    if (this.#options.faults.isAny) this.#backlog.clearIdleFaults();
    this.#probe(now);
    this.#feed(now);
    this.#plan(this.#untilNext(now));
  }

  #untilNext(now: number): number {
    const { controllers, faults } = this.#options;
    const { pending, deferred, refillAt } = this.#backlog;
    let next = refillAt;
    const later = (at: number): void => {
      // What is due already waits for something else, which pumps when it ends.
      if (at > now) next = Math.min(next, at);
    };
    for (const delivery of pending.values()) later(delivery.dueAt);
    for (const delivery of deferred.values()) later(delivery.dueAt);
    later(faults.retryAt(DISPOSAL));
    for (const controller of controllers) {
      later(controller.retryAt ?? 0);
      later(controller.freshAt ?? 0);
      later(controller.nextTrialAt);
    }
    return Math.max(1, next - now);
  }

  // --- choosing

  /** May go now, as far as it is up to the message and the disk. */
  #isReady(delivery: Delivery, now: number): boolean {
    if (delivery.dueAt > now || !this.#options.lanes.areFree(lanesOf(delivery))) return false;
    // What can't be disposed of would be posted again and again.
    return delivery.finish !== undefined || this.#options.faults.retryAt(DISPOSAL) <= now;
  }

  #pinOf(delivery: Delivery): Controller | undefined {
    const name = this.#options.lanes.pinnedTo(lanesOf(delivery));
    return name === undefined ? undefined : this.#controllers.get(name);
  }

  /** Gives each paused controller whose time has come one probing message. */
  #probe(now: number): void {
    for (const controller of this.#options.controllers) {
      if (controller.isOpen || controller.inFlight > 0) continue;
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
    for (const delivery of this.#backlog.pending.values()) {
      if (!controller.mayProbe(delivery, now) || !this.#isReady(delivery, now)) continue;
      const pin = this.#pinOf(delivery);
      const isIts = nobodyOpen || delivery.preference[0] === controller.name;
      if (pin === undefined ? !isIts : pin !== controller) continue;
      // What failed here goes to the others; left without an answer it would be bound to this one.
      if (pin === undefined && !nobodyOpen && delivery.hasFailed) continue;
      // Never the same twice running while another waits. What hasn't failed since it was up tells
      // most; then comes what is already bound to it.
      const score =
        (delivery.entry.key === controller.lastProbe ? 0 : 8) +
        (controller.hasFailedHere(delivery) ? 0 : 4) +
        (pin === controller ? 2 : 0) +
        (delivery.charges === 0 ? 1 : 0);
      if (score <= bestScore) continue;
      best = delivery;
      bestScore = score;
    }
    return best;
  }

  /** Gives the open controllers as many messages as they take. */
  #feed(now: number): void {
    const { concurrency, controllers } = this.#options;
    const reserved = new Set<Controller>();
    const hasRoom = (each: Controller): boolean =>
      each.isOpen && !reserved.has(each) && each.hasRoom(concurrency);
    for (const delivery of this.#backlog.pending.values()) {
      if (!controllers.some(hasRoom)) return;
      if (!this.#isReady(delivery, now)) continue;
      const controller = this.#controllerFor(delivery);
      if (controller === undefined || !hasRoom(controller)) continue;
      if (!this.#bodyFits(delivery)) return;
      const { alone } = delivery;
      if (alone && isGuilty(delivery) && controller.nextTrialAt > now && this.#othersWait()) {
        continue;
      }
      // What has to be alone waits until the controller has run empty, and nothing overtakes it.
      if (alone && controller.inFlight > 0) reserved.add(controller);
      else this.#start(delivery, controller, { alone, probing: false });
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
    for (const each of this.#backlog.pending.values()) if (!isGuilty(each)) return true;
    return false;
  }

  // --- in flight

  #start(
    delivery: Delivery,
    controller: Controller,
    how: { readonly alone: boolean; readonly probing: boolean },
  ): void {
    const { key, stamp } = delivery.entry;
    const { lanes, onReleased, clock } = this.#options;
    const wasAlone = controller.inFlight === 0;
    if (!wasAlone) {
      for (const other of this.#flights)
        if (other.controller === controller) other.wasAlone = false;
    }
    const startedAt = clock.monotonic();
    const flight: Flight = { delivery, controller, probing: how.probing, startedAt, wasAlone };
    this.#backlog.launch(delivery);
    this.#flights.add(flight);
    lanes.hold([keyLane(key)]);
    controller.inFlight += 1;
    controller.exclusive = how.alone;
    this.#bodiesBytes += Number(stamp.size);
    void this.#queues.get(controller)?.add(async () => {
      await this.#fly(flight);
      this.#flights.delete(flight);
      this.#backlog.land(delivery);
      lanes.release([keyLane(key)]);
      controller.inFlight -= 1;
      controller.exclusive = false;
      this.#bodiesBytes -= Number(stamp.size);
      onReleased(key);
      this.#plan(0);
    });
  }

  async #fly(flight: Flight): Promise<void> {
    const { delivery, controller } = flight;
    try {
      const attempt = await this.#options.learner.attempt(delivery, controller);
      await this.#blame.judge(flight, attempt);
    } catch (error) {
      this.#setAside(delivery, error);
    }
  }

  /** A message that met an error of this program must not stop the others, nor be lost. */
  #setAside(delivery: Delivery, error: unknown): void {
    const { bugs, random } = this.#options;
    const { verdict, key } = delivery.entry;
    const messageId = delivery.identity?.messageId;
    bugs.report(error, 'a message in flight', { verdict, file: key, messageId });
    delivery.bugs += 1;
    delivery.hasFailed = true;
    // It may have been put somewhere before that.
    this.#backlog.launch(delivery);
    this.#backlog.defer(delivery, backoffMs(delivery.bugs, random()));
  }
}

/** Others were proven around its failures. */
function isGuilty({ charges, repeats }: Delivery): boolean {
  return charges + repeats > 0;
}

function lanesOf(delivery: Delivery): readonly string[] {
  return delivery.identity?.lanes ?? [keyLane(delivery.entry.key)];
}
