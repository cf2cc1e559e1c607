import type { Verdict } from '../spool/message.ts';
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

/**
 * The only way to a controller: every post goes through here, so that pins and witnesses are right
 * whoever posts.
 */
export class PostOffice {
  readonly #controllers: readonly Controller[];
  readonly #lanes: Lanes;
  readonly #signal: AbortSignal;

  /** @param signal aborts what is in flight */
  constructor(controllers: readonly Controller[], lanes: Lanes, signal: AbortSignal) {
    this.#controllers = controllers;
    this.#lanes = lanes;
    this.#signal = signal;
  }

  async post(post: Post): Promise<Outcome> {
    const { controller, lanes } = post;
    if (post.keepWitness !== true) this.#forgetWitnesses(lanes);
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
        if (outcome.contact === 'answered') this.#lanes.unpin(lanes, controller.name);
        if (outcome.contact === 'refused') this.#lanes.unpinAll(controller.name);
        break;
      case 'learned':
        controller.acknowledged();
        this.#lanes.unpin(lanes, controller.name);
        break;
      case 'duplicate':
      case 'refused':
      case 'rejected':
        this.#lanes.unpin(lanes, controller.name);
        break;
      case 'held':
      case 'misconfigured':
        break;
    }
    return outcome;
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
