import type { MessageLocks } from '../spool/message-locks.ts';
import type { Outcome } from '../trainers/trainer.ts';
import type { Verdict } from '../verdict.ts';
import type { Affinity } from './affinity.ts';
import type { Controller } from './controller.ts';
import { PROBE_POSTS, PROOF_WAITS_MS } from './proof.ts';

/**
 * The only way to a controller: every post goes through here, so that affinity, canaries and the pace
 * are right whoever posts.
 *
 * A controller's canary is the last message that it was proven to remember. A controller that answers
 * 208 to its canary is alive: what crashed or hung it right before was the other message's doing.
 */
export interface PostsOptions {
  readonly controllers: readonly Controller[];
  readonly locks: MessageLocks;
  readonly affinity: Affinity;
  /** Waits the given milliseconds, less while stopping. */
  readonly pause: (ms: number) => Promise<void>;
  /** Aborts what is in flight. */
  readonly signal: AbortSignal;
}

/** What is posted. */
export interface Post {
  readonly key: string;
  readonly verdict: Verdict;
  readonly body: Buffer;
  readonly locks: readonly string[];
}

export type Proof =
  /** Answered 200, then 208. `isLate`: only after a wait, which casts doubt on earlier answers. */
  | { readonly kind: 'proven'; readonly isLate: boolean }
  /** Answered 208 at once: remembered from before; whether it can store now is not shown. */
  | { readonly kind: 'known' }
  /** Answered 200, and no proof was wanted. */
  | { readonly kind: 'acknowledged' }
  /** Answered 200 to every post. */
  | { readonly kind: 'unproven' }
  /** Some post came to something else, which decides. */
  | { readonly kind: 'failed'; readonly outcome: Unlearned };

export type Unlearned = Exclude<Outcome, { readonly kind: 'learned' | 'duplicate' }>;

/** How long a post waits for its turn; then its message gives way to another. */
export const PATIENCE_MS = 5_000;
/** Larger messages are no canaries. */
const CANARY_BYTES = 262_144;

export class Posts {
  readonly #options: PostsOptions;
  readonly #canaries = new Map<Controller, Post>();

  constructor(options: PostsOptions) {
    this.#options = options;
  }

  /** Posts a message once. */
  async post(controller: Controller, post: Post): Promise<Outcome> {
    const { affinity, signal } = this.#options;
    const { pace, name } = controller;
    if (!(await this.#isItsTurn(controller))) return pace.refusal;
    this.#forgetCanaries(post);
    const sentAt = pace.now;
    const outcome = await controller.trainer.learn(post.verdict, post.body, signal);
    switch (outcome.kind) {
      case 'deferred':
        if (outcome.answered) affinity.unbind(post.locks, name);
        else this.#bind(post, controller);
        break;
      case 'aborted':
        this.#bind(post, controller);
        break;
      case 'unavailable':
        if (outcome.limit !== undefined) {
          // The controller itself has not answered.
          pace.refused(outcome, sentAt);
          return pace.refusal;
        }
        if (outcome.contact === 'answered') affinity.unbind(post.locks, name);
        if (outcome.contact === 'refused') affinity.unbindAll(name);
        break;
      case 'learned':
        controller.learns += 1;
        pace.passed();
        affinity.unbind(post.locks, name);
        break;
      case 'duplicate':
      case 'refused':
      case 'rejected':
        pace.passed();
        affinity.unbind(post.locks, name);
        break;
      case 'held':
      case 'misconfigured':
        break;
    }
    return outcome;
  }

  /** Makes a message the controller's canary, unless it is large. */
  keepCanary(controller: Controller, post: Post): void {
    if (post.body.length <= CANARY_BYTES) this.#canaries.set(controller, post);
  }

  /** Asks a controller for its canary; false when it has none. */
  async isAlive(controller: Controller): Promise<boolean> {
    const { locks, pause } = this.#options;
    const canary = this.#canaries.get(controller);
    // A newer verdict of the same message may be on its way; nothing may overtake it.
    if (canary === undefined || !locks.areFree(canary.locks)) return false;
    locks.hold(canary.locks);
    try {
      const proof = await learnAndProve({
        post: () => this.post(controller, canary),
        pause,
        most: PROBE_POSTS,
      });
      // A canary that is counted anew at each question doesn't bear a second one.
      if (proof.kind === 'proven' || proof.kind === 'unproven') this.#canaries.delete(controller);
      return proof.kind === 'known' || proof.kind === 'proven';
    } finally {
      locks.release(canary.locks);
      locks.releaseKey(canary.key);
    }
  }

  async #isItsTurn({ pace }: Controller): Promise<boolean> {
    let patienceMs = PATIENCE_MS;
    for (let waitMs = pace.take(); waitMs > 0; waitMs = pace.take()) {
      if (patienceMs <= 0) return false;
      waitMs = Math.min(waitMs, patienceMs);
      patienceMs -= waitMs;
      await this.#options.pause(waitMs);
    }
    return true;
  }

  #bind({ locks }: Post, controller: Controller): void {
    const { controllers, affinity } = this.#options;
    if (controllers.length > 1) affinity.bind(locks, controller.name);
  }

  /** A canary must never repeat a verdict after a newer one. */
  #forgetCanaries(post: Post): void {
    for (const [controller, canary] of this.#canaries) {
      if (canary !== post && canary.locks.some((lock) => post.locks.includes(lock))) {
        this.#canaries.delete(controller);
      }
    }
  }
}

export interface ProofOptions {
  /** Posts the message once. */
  readonly post: () => Promise<Outcome>;
  /** Waits the given milliseconds, less when there is no time left. */
  readonly pause: (ms: number) => Promise<void>;
  /** Posts at most, the first one included. */
  readonly most: number;
  /**
   * Hears that the first post was answered 200; says whether that has to be proven.
   * @defaultValue always
   */
  readonly acknowledged?: () => boolean;
}

/** Posts a message and proves it. */
export async function learnAndProve(options: ProofOptions): Promise<Proof> {
  const { post, pause, most, acknowledged = () => true } = options;
  const first = await post();
  if (first.kind === 'duplicate') return { kind: 'known' };
  if (first.kind !== 'learned') return { kind: 'failed', outcome: first };
  if (!acknowledged()) return { kind: 'acknowledged' };
  for (const wait of PROOF_WAITS_MS.slice(0, most - 1)) {
    if (wait > 0) await pause(wait);
    const next = await post();
    if (next.kind === 'duplicate') return { kind: 'proven', isLate: wait > 0 };
    if (next.kind !== 'learned') return { kind: 'failed', outcome: next };
  }
  return { kind: 'unproven' };
}
