import type { Clock } from '../clock.ts';
import { Faults } from '../spool/faults.ts';
import type { Held, Outcome } from '../trainers/trainer.ts';
import { backoffMs } from './backoff.ts';
import type { Backlog } from './backlog.ts';
import type { Controller } from './controller.ts';
import type { Delivery } from './delivery.ts';
import { keyLane } from './identity.ts';
import type { Lanes } from './lanes.ts';
import type { Ledger } from './ledger.ts';
import { quarantined } from './learner.ts';
import type { Attempt, Learner } from './learner.ts';
import type { MessageLog } from './message-log.ts';
import { waitAfterRound } from './proof.ts';
import type { MessageStore } from './store.ts';

/**
 * Blame: what one try of a message means, for the message and for its controller. An unknown
 * failure is charged to a message only when that was alone in flight and the controller is
 * acquitted right after; otherwise it is the controller's, and nobody's attempt.
 */

/** Trials of charged messages take at most this part of the time while others wait. */
const TRIAL_SHARE = 10;
/** Somebody has to change something first. */
const FIRST_HOLD_MS = 15_000;

/** One message on its way. */
export interface Flight {
  readonly delivery: Delivery;
  readonly controller: Controller;
  /** It was sent to see whether the controller works again. */
  readonly probing: boolean;
  readonly startedAt: number;
  /** No other message was in flight on its controller at any moment of it. */
  wasAlone: boolean;
}

export interface BlameOptions {
  readonly backlog: Backlog;
  readonly store: MessageStore;
  readonly learner: Learner;
  readonly lanes: Lanes;
  readonly ledger: Ledger;
  readonly messages: MessageLog;
  readonly clock: Clock;
  readonly random: () => number;
  /** Asks a controller's witness. */
  readonly acquits: (controller: Controller) => Promise<boolean>;
  readonly onReleased: (key: string) => void;
  readonly maxAttempts: number;
}

type Failure = Extract<Attempt, { kind: 'failed' }>['outcome'];

export class Blame {
  readonly #options: BlameOptions;

  constructor(options: BlameOptions) {
    this.#options = options;
  }

  /** Draws the conclusions from a try. The message's key lane is still held. */
  async judge(flight: Flight, attempt: Attempt): Promise<void> {
    const { delivery, controller, probing } = flight;
    const { backlog, ledger, messages, clock } = this.#options;
    const began = delivery.finishBegan ?? flight.startedAt;
    const tookMs = clock.monotonic() - began;
    if (delivery.finish !== undefined) delivery.finishBegan = began;
    if (attempt.kind === 'done') messages.finished(delivery, attempt.finish, tookMs);
    const isUnproven = attempt.kind === 'unproven' || attempt.kind === 'spent';
    if (isUnproven || attempt.isLate === true) this.#postAgain(controller);
    if (attempt.kind === 'unproven' || attempt.kind === 'failed') delivery.hasFailed = true;
    switch (attempt.shown) {
      case 'proof':
        await this.#commit(delivery);
        await this.#proved(delivery, controller);
        break;
      case 'memory':
        await this.#commit(delivery);
        controller.remembered();
        break;
      case 'answer':
        controller.answered();
        break;
      case undefined:
        break;
    }
    switch (attempt.kind) {
      case 'done':
        controller.forget(delivery);
        break;
      case 'withdrawn':
        controller.forget(delivery);
        messages.withdrawn(delivery, tookMs);
        break;
      case 'unsettled':
        backlog.settleAgain(delivery, attempt.stamp);
        break;
      case 'busy':
        backlog.queueUp(delivery);
        break;
      case 'fault':
        backlog.defer(delivery, Faults.retryMs);
        break;
      case 'acknowledged':
        ledger.add(delivery, controller.name);
        break;
      case 'unproven':
        delivery.unprovenTries += 1;
        controller.unproven(delivery, probing, attempt.isRound);
        this.#deferBy(delivery, UNPROVEN, waitAfterRound(delivery), tookMs);
        break;
      case 'spent':
        controller.awaitsProof(delivery);
        this.#deferBy(delivery, SPENT, Infinity, tookMs);
        break;
      case 'failed':
        await this.#failed(flight, attempt.outcome, tookMs);
        break;
    }
    if (!controller.isOpen) this.#postAgain(controller);
  }

  /** Whether the controller has stored what it acknowledged is in doubt. */
  #postAgain(controller: Controller): void {
    const { backlog, ledger } = this.#options;
    for (const each of ledger.recall(controller.name)) backlog.queueUp(each);
  }

  /** Lets a message wait that failed this often, and says so. */
  defer(delivery: Delivery, reason: string, failures: number, tookMs: number): void {
    this.#deferBy(delivery, reason, backoffMs(failures, this.#options.random()), tookMs);
  }

  #deferBy(delivery: Delivery, reason: string, waitMs: number, tookMs: number): void {
    this.#options.backlog.defer(delivery, waitMs);
    this.#options.messages.deferred(delivery, reason, waitMs, tookMs);
  }

  async #failed(flight: Flight, outcome: Failure, tookMs: number): Promise<void> {
    const { delivery, controller, probing } = flight;
    switch (outcome.kind) {
      case 'aborted':
        break;
      case 'held':
        this.#hold(flight, outcome, tookMs);
        return;
      case 'unavailable':
        if (outcome.contact === 'answered' && this.#repeats(flight, outcome.reason, tookMs)) return;
        controller.failed({
          reason: outcome.reason,
          answered: outcome.contact === 'answered',
          wasProbe: probing,
          suspect: undefined,
          message: outcome.contact === 'answered' ? delivery : undefined,
        });
        break;
      case 'misconfigured':
        controller.misconfigured(outcome, probing);
        break;
      case 'deferred':
        if (outcome.answered && this.#repeats(flight, outcome.reason, tookMs)) return;
        if (await this.#isItsOwn(flight, outcome)) {
          if (probing) controller.answered();
          await this.#charge(delivery, controller, outcome.reason, tookMs);
          return;
        }
        break;
    }
    this.#options.backlog.putLast(delivery);
  }

  /** What keeps a message on its way tells nothing of the controller, and is nobody's attempt. */
  #hold({ delivery, controller }: Flight, outcome: Held, tookMs: number): void {
    const { store, backlog, messages, random } = this.#options;
    if (store.leave(delivery.entry, outcome)) {
      controller.forget(delivery);
      return;
    }
    delivery.holds += 1;
    const waitMs = backoffMs(delivery.holds, random(), FIRST_HOLD_MS);
    backlog.defer(delivery, waitMs);
    if (delivery.holds === 1) messages.held(delivery, outcome, waitMs, tookMs);
  }

  /**
   * An error for an answer, whatever word it begins with, that is the message's own: it got one
   * before, and others were proven since. It keeps nobody else waiting, and the next proof charges it.
   */
  #repeats({ delivery, controller, wasAlone }: Flight, reason: string, tookMs: number): boolean {
    delivery.error = reason;
    if (!controller.repeats(delivery, wasAlone)) return false;
    delivery.alone = true;
    this.#limitTrials(controller, tookMs);
    this.defer(delivery, reason, Math.max(delivery.charges, delivery.repeats), tookMs);
    return true;
  }

  /** An unknown failure: true when it is certain to be the message's own. */
  async #isItsOwn(
    flight: Flight,
    outcome: Extract<Outcome, { kind: 'deferred' }>,
  ): Promise<boolean> {
    const { delivery, controller, probing } = flight;
    const { reason, answered } = outcome;
    if (!flight.wasAlone) {
      // One of those in flight may have done it: each is tried alone next time.
      delivery.alone = true;
      const message = answered ? delivery : undefined;
      controller.failed({ reason, answered, wasProbe: probing, suspect: undefined, message });
      return false;
    }
    if (answered) {
      delivery.alone = true;
      controller.accuse(delivery, reason, probing);
      return false;
    }
    controller.exclusive = true;
    if (!(await this.#options.acquits(controller))) {
      controller.failed({ reason, answered, wasProbe: probing, suspect: delivery });
      return false;
    }
    if (!controller.excuses(delivery)) return true;
    controller.answered();
    return false;
  }

  /** What the same controller acknowledged before this one is proven by it, too. */
  async #commit(delivery: Delivery): Promise<void> {
    const { ledger, learner } = this.#options;
    for (const each of ledger.commit(delivery)) {
      this.#ended(each, await learner.end(each, { kind: 'learned', proven: true }), 0);
    }
  }

  async #proved(delivery: Delivery, controller: Controller): Promise<void> {
    for (const accused of controller.proved(delivery))
      await this.#chargeWaiting(accused, controller);
  }

  /** Charges a message that isn't in flight any more. */
  async #chargeWaiting(accused: Delivery, controller: Controller): Promise<void> {
    const { backlog, lanes, onReleased } = this.#options;
    // In flight elsewhere, superseded or gone, it has a new chance.
    if (!backlog.launch(accused)) return;
    const { key } = accused.entry;
    // Nothing may take its place while its file is moved.
    lanes.hold([keyLane(key)]);
    try {
      await this.#charge(accused, controller, accused.error ?? 'an unknown error', 0);
    } finally {
      backlog.land(accused);
      lanes.release([keyLane(key)]);
      onReleased(key);
    }
  }

  async #charge(
    delivery: Delivery,
    controller: Controller,
    reason: string,
    tookMs: number,
  ): Promise<void> {
    const { maxAttempts, learner } = this.#options;
    delivery.charges += 1;
    delivery.alone = true;
    this.#limitTrials(controller, tookMs);
    if (delivery.charges < maxAttempts) {
      this.defer(delivery, reason, delivery.charges, tookMs);
      return;
    }
    const why = `${reason}, ${delivery.charges} times with nobody else to blame`;
    this.#ended(delivery, await learner.end(delivery, quarantined(why)), tookMs);
  }

  /** What fails alone leaves most of the time to the others. */
  #limitTrials(controller: Controller, tookMs: number): void {
    controller.nextTrialAt = this.#options.clock.monotonic() + tookMs * (TRIAL_SHARE - 1);
  }

  /** A message was put where it ends, or couldn't be. */
  #ended(delivery: Delivery, attempt: Attempt, tookMs: number): void {
    const { messages, backlog } = this.#options;
    if (attempt.kind === 'done') messages.finished(delivery, attempt.finish, tookMs);
    else if (attempt.kind === 'withdrawn') messages.withdrawn(delivery, tookMs);
    else backlog.defer(delivery, Faults.retryMs);
  }
}

const UNPROVEN = 'no proof that rspamd remembers it';
const SPENT =
  "no proof that rspamd remembers it, and it was posted often enough: another message's proof, or /stat, has to tell";
