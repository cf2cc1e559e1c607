import type { Backlog } from '../delivery/backlog.ts';
import type { Controller } from '../delivery/controller.ts';
import type { PendingMessage } from '../delivery/message.ts';
import { MOST_POSTS, NOTHING_LEFT } from '../delivery/proof.ts';
import { quarantined } from '../delivery/result.ts';
import type { Scheduler } from '../delivery/scheduler.ts';

/**
 * The leftovers of a run: the daemon waits for ever for another message to tell what a failure meant;
 * a run has a last message, and an end.
 */
export interface LeftoversOptions {
  readonly scheduler: Scheduler;
  readonly backlog: Backlog;
  readonly controllers: readonly Controller[];
}

/** Rounds of posts without proof after which the last messages are let go, so many at most. */
const LAST_ROUNDS = 2;
const LAST_MESSAGES = 10;
/** Errors that the last messages get, with others proven in between, before they count as failed. */
const LAST_ERRORS = 3;

export class Leftovers {
  readonly #options: LeftoversOptions;

  constructor(options: LeftoversOptions) {
    this.#options = options;
  }

  /** Ends what nothing that is still to come can decide. */
  settle(): void {
    if (this.#options.backlog.inFlight.size > 0) return;
    this.#letUnprovenGo();
    this.#endRepeaters();
  }

  /** The last error that a message got for an answer. */
  errorOf(key: string): string | undefined {
    return this.#options.backlog.find(key)?.failures.error;
  }

  /** True when all that is left got an error for an answer, while others were proven. */
  get isFailing(): boolean {
    const { backlog, controllers } = this.#options;
    return (
      controllers.some((each) => each.lastProofAt !== undefined) &&
      [...backlog.waiting, ...backlog.inFlight.values()].every(
        ({ failures }) => failures.error !== undefined,
      )
    );
  }

  /** True when every message that is left has failed before, or is bound to a controller that does. */
  get isGoingNowhere(): boolean {
    const { scheduler, backlog } = this.#options;
    const { pending, deferred, inFlight } = backlog;
    if (pending.size + deferred.size + inFlight.size === 0) return false;
    return (
      [...inFlight.values()].every(({ failures }) => failures.any) &&
      [...pending.values()].every(
        (each) => each.failures.any || scheduler.boundTo(each)?.isOpen === false,
      )
    );
  }

  /**
   * Lets the last few messages go, as learned, when all that is left was answered 200 and never proven
   * in two rounds, or to as many posts as there may be: no other message comes any more whose proof
   * would tell that apart from an outage. Many messages are not let go: so many are an outage.
   */
  #letUnprovenGo(): void {
    const { scheduler, backlog, controllers } = this.#options;
    const { waiting } = backlog;
    if (waiting.length === 0 || waiting.length > LAST_MESSAGES) return;
    const isSpent = ({ proof: { unprovenTries, posts = 0 } }: PendingMessage): boolean =>
      unprovenTries >= LAST_ROUNDS || posts >= MOST_POSTS;
    const answering = controllers.filter((each) => each.lacksOnlyProof);
    if (!waiting.every(isSpent) || answering.length === 0) return;
    for (const { proof } of waiting) proof.letGo = NOTHING_LEFT;
    for (const each of answering) each.retryNow();
    scheduler.wake();
  }

  /** Ends the last messages, as failed, when each got errors although others were proven in between. */
  #endRepeaters(): void {
    const { scheduler, backlog } = this.#options;
    const { waiting } = backlog;
    if (waiting.some(({ failures }) => failures.repeats < LAST_ERRORS)) return;
    for (const each of waiting) {
      const error = each.failures.error ?? 'an unknown error';
      each.disposition = quarantined(`${error}, each time, while others were learned`);
      backlog.hurry(each);
    }
    scheduler.wake();
  }
}
