import type { Verdict } from '../verdict.ts';
import type { Outcome } from '../trainers/trainer.ts';
import type { Controller } from './controller.ts';
import type { Lanes } from './lanes.ts';

export interface Post {
  readonly controller: Controller;
  readonly verdict: Verdict;
  readonly body: Buffer;
  readonly lanes: readonly string[];
  /** The post is the witness's own. */
  readonly keepWitness?: boolean;
}

/** How long a post waits for its turn; then its message gives way to another. */
export const PATIENCE_MS = 5_000;

/**
 * The only way to a controller: every post goes through here, so that pins, witnesses and the pace
 * are right whoever posts.
 */
export class PostOffice {
  readonly #controllers: readonly Controller[];
  readonly #lanes: Lanes;
  readonly #signal: AbortSignal;
  readonly #pause: (ms: number) => Promise<void>;

  /**
   * @param signal aborts what is in flight
   * @param pause waits the given milliseconds, less while stopping
   */
  constructor(
    controllers: readonly Controller[],
    lanes: Lanes,
    signal: AbortSignal,
    pause: (ms: number) => Promise<void>,
  ) {
    this.#controllers = controllers;
    this.#lanes = lanes;
    this.#signal = signal;
    this.#pause = pause;
  }

  async post(post: Post): Promise<Outcome> {
    const { controller, lanes } = post;
    if (!(await this.#isItsTurn(controller))) return controller.pace.refusal;
    if (post.keepWitness !== true) this.#forgetWitnesses(lanes);
    const sentAt = controller.pace.now;
    const outcome = await controller.trainer.learn(post.verdict, post.body, this.#signal);
    switch (outcome.kind) {
      case 'deferred':
        if (outcome.answered) this.#lanes.unpin(lanes, controller.name);
        else this.#pin(post);
        break;
      case 'aborted':
        this.#pin(post);
        break;
      case 'unavailable':
        if (outcome.limit !== undefined) {
          // The controller itself has not answered.
          controller.pace.refused(outcome, sentAt);
          return controller.pace.refusal;
        }
        if (outcome.contact === 'answered') this.#lanes.unpin(lanes, controller.name);
        if (outcome.contact === 'refused') this.#lanes.unpinAll(controller.name);
        break;
      case 'learned':
        controller.acknowledged();
        controller.pace.passed();
        this.#lanes.unpin(lanes, controller.name);
        break;
      case 'duplicate':
      case 'refused':
      case 'rejected':
        controller.pace.passed();
        this.#lanes.unpin(lanes, controller.name);
        break;
      case 'held':
      case 'misconfigured':
        break;
    }
    return outcome;
  }

  async #isItsTurn({ pace }: Controller): Promise<boolean> {
    let patienceMs = PATIENCE_MS;
    for (let waitMs = pace.take(); waitMs > 0; waitMs = pace.take()) {
      if (patienceMs <= 0) return false;
      waitMs = Math.min(waitMs, patienceMs);
      patienceMs -= waitMs;
      await this.#pause(waitMs);
    }
    return true;
  }

  #pin({ lanes, controller }: Post): void {
    if (this.#controllers.length > 1) this.#lanes.pin(lanes, controller.name);
  }

  /** A witness must never repeat a verdict behind a newer one's back. */
  #forgetWitnesses(lanes: readonly string[]): void {
    for (const controller of this.#controllers) {
      if (controller.witness?.lanes.some((lane) => lanes.includes(lane)) === true) {
        controller.witness = undefined;
      }
    }
  }
}
