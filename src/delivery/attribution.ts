import { DiskFaults } from '../spool/disk-faults.ts';
import type { Held } from '../trainers/trainer.ts';
import type { Attempt, Attempts, Failure } from './attempt.ts';
import { backoffMs } from './backoff.ts';
import type { Backlog } from './backlog.ts';
import type { Controller } from './controller.ts';
import type { PendingMessage } from './message.ts';
import { waitAfterRound } from './proof.ts';
import { quarantined } from './result.ts';
import type { DeliveryOptions } from './store.ts';

/** One message on its way to a controller. */
export interface Flight {
  readonly message: PendingMessage;
  readonly controller: Controller;
  /** It shows whether a paused controller works again. */
  readonly isProbe: boolean;
  readonly startedAt: number;
  readonly bytes: number;
  /** No other message may start on its controller. */
  readonly isExclusive: boolean;
  /** No other message was in flight on its controller at any moment of it. */
  wasAlone: boolean;
}

/** Tries of guilty messages take at most this part of the time while others wait. */
const GUILTY_SHARE = 10;
/** A turn later: a message that is busy again and again must leave the event loop to others. */
const BUSY_MS = 1;
/** Somebody has to change something first. */
const FIRST_HOLD_MS = 15_000;
const UNPROVEN = 'no proof that rspamd remembers it';
const SPENT =
  "no proof that rspamd remembers it, and it was posted often enough: another message's proof, or /stat, has to tell";

/**
 * Attribution: what one try of a message means, for the message and for its controller.
 *
 * There is one rule for errors and for posts without an answer: a failure is a message's own when the
 * same controller has proven others since the last time that this message failed there, and it is
 * charged when the controller proves another one after it. Any other failure is the controller's,
 * which pauses, and is charged to no message.
 */
export class Attribution {
  readonly #options: DeliveryOptions;
  readonly #backlog: Backlog;
  readonly #attempts: Attempts;

  constructor(options: DeliveryOptions, backlog: Backlog, attempts: Attempts) {
    this.#options = options;
    this.#backlog = backlog;
    this.#attempts = attempts;
  }

  /** Draws the conclusions from a try. The lock of the message's key is still held. */
  async judge(flight: Flight, attempt: Attempt): Promise<void> {
    const { message, controller } = flight;
    const tookMs = this.#options.clock.monotonic() - flight.startedAt;
    if (attempt.kind === 'done') this.#options.events.ended(message, attempt.result, tookMs);
    const isUnproven = attempt.kind === 'unproven' || attempt.kind === 'spent';
    if (isUnproven || attempt.isLate === true) this.#postAgain(controller);
    if (attempt.kind === 'unproven' || attempt.kind === 'failed') message.failures.any = true;
    await this.#judgeController(flight, attempt.shown);
    this.#judgeMessage(flight, attempt, tookMs);
    if (!controller.isOpen) this.#postAgain(controller);
  }

  async #judgeController(flight: Flight, shown: Attempt['shown']): Promise<void> {
    const { message, controller } = flight;
    if (shown === 'answer') controller.answered();
    if (shown === 'memory' || shown === 'proof') await this.#commit(message);
    if (shown === 'memory') controller.remembered();
    if (shown !== 'proof') return;
    for (const each of controller.proved(message)) await this.#charge(each);
  }

  #judgeMessage(flight: Flight, attempt: Attempt, tookMs: number): void {
    const { message, controller, isProbe } = flight;
    const { sampler, events } = this.#options;
    const backlog = this.#backlog;
    switch (attempt.kind) {
      case 'done':
        controller.forget(message);
        controller.heldBack.delete(message.entry.verdict);
        break;
      case 'withdrawn':
        controller.forget(message);
        events.ended(message, attempt, tookMs);
        break;
      case 'changed':
        backlog.settleAgain(message, attempt.entry);
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
        message.proof.isAwaited = true;
        controller.unproven(message, isProbe, attempt.isRound);
        this.#defer(message, UNPROVEN, waitAfterRound(message.proof), tookMs);
        break;
      case 'spent':
        message.proof.isAwaited = true;
        controller.awaitsProof(message);
        this.#defer(message, SPENT, Infinity, tookMs);
        break;
      case 'failed':
        this.#failed(flight, attempt.outcome, tookMs);
        break;
    }
  }

  #failed(flight: Flight, outcome: Failure, tookMs: number): void {
    const { message } = flight;
    switch (outcome.kind) {
      case 'held':
        this.#hold(flight, outcome, tookMs);
        return;
      case 'misconfigured':
      case 'unavailable':
      case 'deferred':
        if (this.#isItsOwn(flight, outcome, tookMs)) return;
        break;
      case 'aborted':
        break;
    }
    this.#backlog.putLast(message);
  }

  /** Something before the controller holds the message back: neither of them failed. */
  #hold({ message, controller }: Flight, outcome: Held, tookMs: number): void {
    const { store, events, random } = this.#options;
    if (store.leave !== undefined) {
      store.leave(message.entry, outcome);
      controller.forget(message);
      return;
    }
    if (outcome.waitMs !== undefined) {
      this.#backlog.defer(message, outcome.waitMs);
      return;
    }
    message.failures.holds += 1;
    const { holds } = message.failures;
    const waitMs = backoffMs(holds, random(), FIRST_HOLD_MS);
    this.#backlog.defer(message, waitMs);
    const { reason, hint: cure } = outcome;
    if (outcome.isOfClass === true) controller.holdsBack(message.entry.verdict, outcome);
    else if (holds === 1) events.deferred(message, { reason, cure, retryMs: waitMs }, tookMs);
  }

  /**
   * Whether an error, whatever word it begins with, or the lack of an answer is the message's own. If
   * so, it keeps no other message waiting. A proxy may forbid what one message says, and let others pass.
   */
  #isItsOwn(flight: Flight, outcome: PossiblyOwn, tookMs: number): boolean {
    const { message, controller, isProbe, wasAlone } = flight;
    const { failures } = message;
    const { reason } = outcome;
    const isUnknown = outcome.kind === 'deferred';
    const answered = isAnswered(outcome);
    // It may have crashed the controller, or another one beside it: each is tried alone next time.
    if (isUnknown) failures.alone = true;
    const mayBeItsOwn = answered || (isUnknown && wasAlone);
    if (!mayBeItsOwn || !controller.repeats(message, wasAlone)) {
      if (outcome.kind === 'misconfigured') {
        controller.misconfigured(outcome, isProbe);
        return false;
      }
      const suspect = mayBeItsOwn ? message : undefined;
      const hint = isUnknown ? undefined : outcome.hint;
      controller.failed({ reason, hint, answered, wasProbe: isProbe, message: suspect });
      return false;
    }
    failures.alone = true;
    failures.error = reason;
    controller.guiltyNotBefore = this.#options.clock.monotonic() + tookMs * (GUILTY_SHARE - 1);
    this.#backOff(message, reason, tookMs);
    return true;
  }

  /** Charges a message that isn't in flight any more with its last failure. */
  async #charge(message: PendingMessage): Promise<void> {
    const { locks, maxAttempts } = this.#options;
    const { entry, failures } = message;
    // In flight elsewhere, superseded or gone, it has a new chance.
    if (locks.isKeyHeld(entry.key) || !this.#backlog.launch(message)) return;
    // Nothing may take its place while its file is moved.
    locks.holdKey(entry.key);
    try {
      failures.charges += 1;
      const reason = failures.error ?? 'an unknown error';
      if (failures.charges < maxAttempts) {
        this.#backOff(message, reason, 0);
      } else {
        const why = `${reason}, ${failures.charges} times with nobody else to blame`;
        this.#ended(message, await this.#attempts.end(message, quarantined(why)));
      }
    } finally {
      this.#backlog.land(message);
      locks.releaseKey(entry.key);
    }
  }

  /** What the same controller acknowledged before this message is proven by it, too. */
  async #commit(message: PendingMessage): Promise<void> {
    for (const each of this.#options.sampler?.commit(message) ?? []) {
      this.#ended(each, await this.#attempts.end(each, { kind: 'learned', proven: true }));
    }
  }

  /** Whether the controller has stored what it acknowledged is in doubt. */
  #postAgain(controller: Controller): void {
    const acknowledged = this.#options.sampler?.recall(controller.name) ?? [];
    for (const each of acknowledged) this.#backlog.queueUp(each);
  }

  /** A message that was not in flight was put where it ends, or couldn't be. */
  #ended(message: PendingMessage, attempt: Attempt): void {
    const { events } = this.#options;
    if (attempt.kind === 'done') events.ended(message, attempt.result, 0);
    else if (attempt.kind === 'withdrawn') events.ended(message, attempt, 0);
    else this.#backlog.defer(message, DiskFaults.retryMs);
  }

  /** Lets a message wait that fails again and again. */
  #backOff(message: PendingMessage, reason: string, tookMs: number): void {
    const { charges, repeats } = message.failures;
    const waitMs = backoffMs(Math.max(charges, repeats), this.#options.random());
    this.#defer(message, reason, waitMs, tookMs);
  }

  #defer(message: PendingMessage, reason: string, waitMs: number, tookMs: number): void {
    this.#backlog.defer(message, waitMs);
    this.#options.events.deferred(message, { reason, retryMs: waitMs }, tookMs);
  }
}

type PossiblyOwn = Extract<Failure, { kind: 'deferred' | 'unavailable' | 'misconfigured' }>;

/** The controller, or what stands before it, said so. A password is refused whatever the message. */
function isAnswered(outcome: PossiblyOwn): boolean {
  if (outcome.kind === 'misconfigured') return !outcome.password;
  return outcome.kind === 'deferred' ? outcome.answered : outcome.contact === 'answered';
}
