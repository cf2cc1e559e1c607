import type { Clock } from '../clock.ts';
import { DiskFaults } from '../spool/disk-faults.ts';
import type { MessageLocks } from '../spool/message-locks.ts';
import type { Held, Outcome } from '../trainers/trainer.ts';
import type { Attempt, Attempts, Failure } from './attempt.ts';
import type { Backlog } from './backlog.ts';
import type { Controller } from './controller.ts';
import type { MessageEvents } from './events.ts';
import type { PendingMessage } from './message.ts';
import { backoffMs } from './policy.ts';
import type { Posts } from './posts.ts';
import { waitAfterRound } from './proof.ts';
import { quarantined } from './result.ts';
import type { ProofSampler } from './sampler.ts';
import type { MessageStore } from './store.ts';

/**
 * Attribution: what one try of a message means, for the message and for its controller. An unknown
 * failure is charged to a message only when the message was alone in flight and the controller is
 * shown to be alive right after; otherwise the failure is the controller's, and charged to no message.
 */

/** Tries of guilty messages take at most this part of the time while others wait. */
const GUILTY_SHARE = 10;
/** A turn later: a message that is busy again and again must leave the event loop to others. */
const BUSY_MS = 1;
/** Somebody has to change something first. */
const FIRST_HOLD_MS = 15_000;

/** One message on its way to a controller. */
export interface Flight {
  readonly message: PendingMessage;
  readonly controller: Controller;
  /** It shows whether a paused controller works again. */
  readonly isProbe: boolean;
  readonly startedAt: number;
  /** No other message was in flight on its controller at any moment of it. */
  wasAlone: boolean;
  /** Keeps others from starting on its controller until the flight is over. */
  exclude(): void;
}

export interface AttributionOptions {
  readonly backlog: Backlog;
  readonly store: MessageStore;
  readonly attempts: Attempts;
  readonly posts: Posts;
  readonly locks: MessageLocks;
  readonly sampler: ProofSampler | undefined;
  readonly events: MessageEvents;
  readonly clock: Clock;
  readonly random: () => number;
  readonly maxAttempts: number;
}

export class Attribution {
  readonly #options: AttributionOptions;

  constructor(options: AttributionOptions) {
    this.#options = options;
  }

  /** Draws the conclusions from a try. The lock of the message's key is still held. */
  async judge(flight: Flight, attempt: Attempt): Promise<void> {
    const { message, controller } = flight;
    const { events, clock } = this.#options;
    const began = message.disposedSince ?? flight.startedAt;
    const tookMs = clock.monotonic() - began;
    if (message.disposition !== undefined) message.disposedSince = began;
    if (attempt.kind === 'done') events.ended(message, attempt.result, tookMs);
    const isUnproven = attempt.kind === 'unproven' || attempt.kind === 'spent';
    if (isUnproven || attempt.isLate === true) this.#postAgain(controller);
    if (attempt.kind === 'unproven' || attempt.kind === 'failed') message.failures.any = true;
    await this.#judgeController(flight, attempt.shown);
    await this.#judgeMessage(flight, attempt, tookMs);
    if (!controller.isOpen) this.#postAgain(controller);
  }

  async #judgeController(flight: Flight, shown: Attempt['shown']): Promise<void> {
    const { message, controller } = flight;
    if (shown === 'answer') controller.answered();
    if (shown === 'memory' || shown === 'proof') await this.#commit(message);
    if (shown === 'memory') controller.remembered();
    if (shown !== 'proof') return;
    for (const accused of controller.proved(message)) {
      await this.#chargeWaiting(accused, controller);
    }
  }

  async #judgeMessage(flight: Flight, attempt: Attempt, tookMs: number): Promise<void> {
    const { message, controller, isProbe } = flight;
    const { backlog, sampler, events } = this.#options;
    switch (attempt.kind) {
      case 'done':
        controller.forget(message);
        break;
      case 'withdrawn':
        controller.forget(message);
        events.ended(message, attempt, tookMs);
        break;
      case 'changed':
        backlog.settleAgain(message, attempt.stamp);
        break;
      case 'busy':
        backlog.queueUp(message, BUSY_MS);
        break;
      case 'fault':
        backlog.defer(message, DiskFaults.retryMs);
        break;
      case 'acknowledged':
        sampler?.add(message, controller.name);
        break;
      case 'unproven':
        message.proof.unprovenTries += 1;
        controller.unproven(message, isProbe, attempt.isRound);
        this.#defer(message, UNPROVEN, waitAfterRound(message.proof), tookMs);
        break;
      case 'spent':
        controller.awaitsProof(message);
        this.#defer(message, SPENT, Infinity, tookMs);
        break;
      case 'failed':
        await this.#failed(flight, attempt.outcome, tookMs);
        break;
    }
  }

  /** Whether the controller has stored what it acknowledged is in doubt. */
  #postAgain(controller: Controller): void {
    const { backlog, sampler } = this.#options;
    for (const each of sampler?.recall(controller.name) ?? []) backlog.queueUp(each);
  }

  #defer(message: PendingMessage, reason: string, waitMs: number, tookMs: number): void {
    this.#options.backlog.defer(message, waitMs);
    this.#options.events.deferred(message, reason, waitMs, tookMs);
  }

  /** Lets a message wait that failed this often. */
  #backOff(message: PendingMessage, reason: string, failures: number, tookMs: number): void {
    this.#defer(message, reason, backoffMs(failures, this.#options.random()), tookMs);
  }

  async #failed(flight: Flight, outcome: Failure, tookMs: number): Promise<void> {
    const { message, controller, isProbe: wasProbe } = flight;
    switch (outcome.kind) {
      case 'aborted':
        break;
      case 'held':
        this.#hold(flight, outcome, tookMs);
        return;
      case 'unavailable': {
        const { reason } = outcome;
        const answered = outcome.contact === 'answered';
        if (answered && this.#repeats(flight, reason, tookMs)) return;
        const suspects = { suspect: undefined, message: answered ? message : undefined };
        controller.failed({ reason, answered, wasProbe, ...suspects });
        break;
      }
      case 'misconfigured':
        controller.misconfigured(outcome, wasProbe);
        break;
      case 'deferred':
        if (outcome.answered && this.#repeats(flight, outcome.reason, tookMs)) return;
        if (await this.#isItsOwn(flight, outcome)) {
          if (wasProbe) controller.answered();
          await this.#charge(message, controller, outcome.reason, tookMs);
          return;
        }
        break;
    }
    this.#options.backlog.putLast(message);
  }

  /** Something before the controller holds the message back: neither of them failed. */
  #hold({ message, controller }: Flight, outcome: Held, tookMs: number): void {
    const { store, backlog, events, random } = this.#options;
    if (store.leave(message.entry, outcome)) {
      controller.forget(message);
      return;
    }
    message.failures.holds += 1;
    const { holds } = message.failures;
    const waitMs = backoffMs(holds, random(), FIRST_HOLD_MS);
    backlog.defer(message, waitMs);
    if (holds === 1) events.held(message, outcome, waitMs, tookMs);
  }

  /**
   * Whether an error for an answer, whatever word it begins with, is the message's own: it got one
   * before, and others were proven since. It keeps no other message waiting, and the next proof
   * charges it.
   */
  #repeats({ message, controller, wasAlone }: Flight, reason: string, tookMs: number): boolean {
    const { failures } = message;
    failures.error = reason;
    if (!controller.repeats(message, wasAlone)) return false;
    failures.alone = true;
    this.#limitGuilty(controller, tookMs);
    this.#backOff(message, reason, Math.max(failures.charges, failures.repeats), tookMs);
    return true;
  }

  /** An unknown failure: true when it is certain to be the message's own. */
  async #isItsOwn(flight: Flight, outcome: UnknownFailure): Promise<boolean> {
    const { message, controller, isProbe: wasProbe } = flight;
    const { reason, answered } = outcome;
    if (!flight.wasAlone) {
      // One of those in flight may have done it: each is tried alone next time.
      message.failures.alone = true;
      const suspects = { suspect: undefined, message: answered ? message : undefined };
      controller.failed({ reason, answered, wasProbe, ...suspects });
      return false;
    }
    if (answered) {
      message.failures.alone = true;
      controller.accuse(message, reason, wasProbe);
      return false;
    }
    flight.exclude();
    if (!(await this.#options.posts.isAlive(controller))) {
      controller.failed({ reason, answered, wasProbe, suspect: message });
      return false;
    }
    if (!controller.excuses(message)) return true;
    controller.answered();
    return false;
  }

  /** What the same controller acknowledged before this message is proven by it, too. */
  async #commit(message: PendingMessage): Promise<void> {
    const { sampler, attempts } = this.#options;
    for (const each of sampler?.commit(message) ?? []) {
      this.#ended(each, await attempts.end(each, { kind: 'learned', proven: true }), 0);
    }
  }

  /** Charges a message that isn't in flight any more. */
  async #chargeWaiting(accused: PendingMessage, controller: Controller): Promise<void> {
    const { backlog, locks } = this.#options;
    const { key } = accused.entry;
    // In flight elsewhere, superseded or gone, it has a new chance.
    if (locks.isKeyHeld(key) || !backlog.launch(accused)) return;
    // Nothing may take its place while its file is moved.
    locks.holdKey(key);
    try {
      await this.#charge(accused, controller, accused.failures.error ?? 'an unknown error', 0);
    } finally {
      backlog.land(accused);
      locks.releaseKey(key);
    }
  }

  async #charge(
    message: PendingMessage,
    controller: Controller,
    reason: string,
    tookMs: number,
  ): Promise<void> {
    const { maxAttempts, attempts } = this.#options;
    const { failures } = message;
    failures.charges += 1;
    failures.alone = true;
    this.#limitGuilty(controller, tookMs);
    if (failures.charges < maxAttempts) {
      this.#backOff(message, reason, failures.charges, tookMs);
      return;
    }
    const why = `${reason}, ${failures.charges} times with nobody else to blame`;
    this.#ended(message, await attempts.end(message, quarantined(why)), tookMs);
  }

  /** Messages that fail alone leave most of the time to the others. */
  #limitGuilty(controller: Controller, tookMs: number): void {
    controller.guiltyNotBefore = this.#options.clock.monotonic() + tookMs * (GUILTY_SHARE - 1);
  }

  /** A message was put where it ends, or couldn't be. */
  #ended(message: PendingMessage, attempt: Attempt, tookMs: number): void {
    const { events, backlog } = this.#options;
    if (attempt.kind === 'done') events.ended(message, attempt.result, tookMs);
    else if (attempt.kind === 'withdrawn') events.ended(message, attempt, tookMs);
    else backlog.defer(message, DiskFaults.retryMs);
  }
}

type UnknownFailure = Extract<Outcome, { kind: 'deferred' }>;

const UNPROVEN = 'no proof that rspamd remembers it';
const SPENT =
  "no proof that rspamd remembers it, and it was posted often enough: another message's proof, or /stat, has to tell";
