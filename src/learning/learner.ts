import type { Clock } from '../clock.ts';
import { errnoOf, isBug } from '../errors.ts';
import type { Faults } from '../spool/faults.ts';
import type { Stamp } from '../spool/message.ts';
import type { Outcome } from '../trainers/trainer.ts';
import { faultOfVersion } from '../trainers/versions.ts';
import type { Controller } from './controller.ts';
import type { Delivery, Finish } from './delivery.ts';
import { identify, keyLane } from './identity.ts';
import type { Lanes } from './lanes.ts';
import type { Ledger } from './ledger.ts';
import type { PostOffice } from './post-office.ts';
import { MOST_POSTS, learnAndProve, postsOfRound, reasonToLetGo } from './proof.ts';
import type { MessageStore } from './store.ts';
import { WITNESS_BYTES } from './witness.ts';

/**
 * The learner takes one message through one try: read it, hold its lanes, post and prove it, and
 * when that ends it, dispose of it. Acknowledge, prove, dispose, in this order, each step safe to
 * repeat. It judges nobody: what a failure means is the dispatcher's and the controller's.
 */
export class Learner {
  readonly #options: LearnerOptions;

  constructor(options: LearnerOptions) {
    this.#options = options;
  }

  /** The delivery's key lane is held by the caller. Rejects only by an error of this program. */
  async attempt(delivery: Delivery, controller: Controller): Promise<Attempt> {
    if (delivery.finish !== undefined) return this.#finish(delivery, delivery.finish);
    const letGo = reasonToLetGo(delivery);
    if (letGo !== undefined) {
      const fault = faultOfVersion(controller.trainer.version);
      const reason = fault === undefined ? letGo : `${letGo}; ${fault.does}`;
      return this.#finish(delivery, { kind: 'learned', proven: false, reason });
    }
    const { store, faults, lanes } = this.#options;
    const { entry } = delivery;
    const place = store.placeOf(entry.verdict);
    let body: Buffer;
    try {
      const read = await store.read(entry);
      faults.clear(place);
      if (read.kind === 'gone') return { kind: 'withdrawn' };
      if (read.kind === 'changed') return { kind: 'unsettled', stamp: read.stamp };
      if (read.kind === 'unfit') return await this.#finish(delivery, quarantined(read.reason));
      body = read.body;
    } catch (error) {
      if (isBug(error)) throw error;
      faults.raise(place, error);
      return { kind: 'fault' };
    }
    delivery.identity = identify(entry.key, body);
    const all = delivery.identity.lanes;
    const others = all.filter((lane) => lane !== keyLane(entry.key));
    const pin = lanes.pinnedTo(all);
    if (!lanes.areFree(others) || (pin !== undefined && pin !== controller.name)) {
      return { kind: 'busy' };
    }
    lanes.hold(others);
    try {
      return await this.#post(delivery, controller, body, all);
    } finally {
      lanes.release(others);
    }
  }

  /** Ends a message without another try. */
  end(delivery: Delivery, finish: Finish): Promise<Attempt> {
    return this.#finish(delivery, finish);
  }

  async #post(
    delivery: Delivery,
    controller: Controller,
    body: Buffer,
    lanes: readonly string[],
  ): Promise<Attempt> {
    const { office, pause, ledger, clock, store } = this.#options;
    const { verdict, key } = delivery.entry;
    const isRepeated = delivery.acknowledged !== undefined;
    delivery.posts ??= store.postsOf(delivery.entry);
    const most = postsOfRound(delivery, {
      isDoubted: controller.state === 'unproven',
      isFaulty: faultOfVersion(controller.trainer.version) !== undefined,
    });
    if (most === 0) return { kind: 'spent' };
    const postedAt = clock.monotonic();
    delivery.tries += 1;
    delivery.firstRoundAt ??= postedAt;
    delivery.lastRoundAt = postedAt;
    const proof = await learnAndProve({
      most,
      pause,
      post: this.#counting(delivery, most, () => office.post({ controller, verdict, body, lanes })),
      acknowledged: () => {
        delivery.acknowledged = ledger.acknowledge(controller);
        const tookMs = clock.monotonic() - postedAt;
        // What is posted again is in doubt already.
        return ledger.wantsProof(controller, body.length, tookMs) || isRepeated;
      },
    });
    switch (proof.kind) {
      case 'acknowledged':
        return { kind: 'acknowledged' };
      case 'unproven':
        // The last posts come after another message's proof: they show nothing of the controller.
        if (delivery.posts >= MOST_POSTS) return { kind: 'spent' };
        return { kind: 'unproven', isRound: most > 1 };
      case 'failed':
        return this.#unlearned(delivery, proof.outcome);
      case 'proven':
      case 'known':
        break;
    }
    // Answered 200 in an earlier try and 208 now: that is the proof that it was waiting for.
    const proven = proof.kind === 'proven' || isRepeated;
    if (proven && body.length <= WITNESS_BYTES) controller.witness = { key, verdict, body, lanes };
    // Another controller may wake and carry out an older verdict: it has to hear this one too.
    const stillPinned = this.#options.lanes.pinnedTo(lanes) !== undefined;
    const attempt: Attempt = stillPinned
      ? { kind: 'busy' }
      : await this.#finish(
          delivery,
          proven ? { kind: 'learned', proven: true } : { kind: 'duplicate' },
        );
    if (proof.kind === 'proven') return { ...attempt, shown: 'proof', isLate: proof.isLate };
    return { ...attempt, shown: isRepeated ? 'memory' : 'answer' };
  }

  /**
   * Counts the posts that are answered 200, and keeps the number: before there can be a third one, but
   * of the last round only when it is over, because that has to have been made.
   */
  #counting(delivery: Delivery, most: number, post: () => Promise<Outcome>): typeof post {
    if (delivery.isOrdered) {
      delivery.isOrdered = false;
      return post;
    }
    const before = delivery.posts ?? 0;
    const isLast = before + most >= MOST_POSTS;
    let posted = 0;
    let isRecorded = isLast;
    return async () => {
      if (before + posted >= UNRECORDED_POSTS && !isRecorded) {
        isRecorded = true;
        this.#record(delivery, before + most);
      }
      const outcome = await post();
      if (outcome.kind !== 'learned') return outcome;
      posted += 1;
      delivery.posts = before + posted;
      delivery.acknowledgedAt = this.#options.clock.monotonic();
      delivery.othersProved = false;
      if (isLast && posted === most) this.#record(delivery, delivery.posts);
      return outcome;
    };
  }

  #record(delivery: Delivery, posts: number): void {
    const { store, faults } = this.#options;
    try {
      store.recordPosts(delivery.entry, posts);
      faults.clear(POSTS);
    } catch (error) {
      faults.raise(POSTS, error);
    }
  }

  async #unlearned(
    delivery: Delivery,
    outcome: Exclude<Outcome, { kind: 'learned' | 'duplicate' }>,
  ): Promise<Attempt> {
    switch (outcome.kind) {
      case 'refused':
        return {
          ...(await this.#finish(delivery, { kind: 'refused', reason: outcome.reason })),
          shown: 'answer',
        };
      case 'rejected':
        return { ...(await this.#finish(delivery, quarantined(outcome.reason))), shown: 'answer' };
      case 'unavailable':
        // Only asked too fast: it goes again, at the controller's pace.
        if (outcome.limit !== undefined) return { kind: 'busy' };
        return { kind: 'failed', outcome };
      case 'held':
      case 'deferred':
      case 'misconfigured':
      case 'aborted':
        return { kind: 'failed', outcome };
    }
  }

  /** Moves the file to where it ends. */
  async #finish(delivery: Delivery, finish: Finish): Promise<Attempt> {
    const { store, faults } = this.#options;
    const isRepeated = delivery.finish !== undefined;
    const own = disposalOf(delivery);
    delivery.finish = finish;
    try {
      const different = await store.finish(delivery, finish);
      faults.clear(DISPOSAL);
      faults.clear(own);
      // Gone after a try that failed: it had taken effect (NFS, where the answer got lost).
      if (different === undefined || (isRepeated && different.kind === 'gone')) {
        return { kind: 'done', finish };
      }
      return different.kind === 'gone'
        ? { kind: 'withdrawn' }
        : { kind: 'unsettled', stamp: different.stamp };
    } catch (error) {
      if (isBug(error)) throw error;
      // One file that can't be moved doesn't stop the others.
      faults.raise(FILE_ERRORS.has(errnoOf(error) ?? '') ? own : DISPOSAL, error);
      return { kind: 'fault' };
    }
  }
}

/** Names the disposal among the places that local faults pause. */
export const DISPOSAL = 'the disposal of learned messages';

/** Names the disposal of one message, where nothing keeps the others from theirs. */
export function disposalOf({ entry }: Delivery): string {
  return `${DISPOSAL}, of ${entry.key}`;
}

/** Errors of a disposal that are this one file's: immutable, a mount point, a folder in its place. */
const FILE_ERRORS = new Set(['EPERM', 'EBUSY', 'EISDIR', 'ENOTEMPTY', 'ETXTBSY']);

/** Names the post counts among the places of local faults. */
const POSTS = "the state dir's folder posts";

/** Nearly every message is proven by its second post: so many are not recorded. */
const UNRECORDED_POSTS = 2;

/** What one try came to. */
export type Attempt = (
  | { readonly kind: 'done'; readonly finish: Finish }
  | { readonly kind: 'withdrawn' }
  /** The file has changed: it has to settle again. */
  | { readonly kind: 'unsettled'; readonly stamp: Stamp }
  /** One of its lanes is in use, or leads to another controller, or its turn has not come. */
  | { readonly kind: 'busy' }
  /** `isRound`: it was posted again after a 200; one 200 alone shows nothing of the controller. */
  | { readonly kind: 'unproven'; readonly isRound: boolean }
  /** It was posted as often as it may be: another message's proof, or `/stat`, has to tell. */
  | { readonly kind: 'spent' }
  /** Answered 200; a later message's proof will do. */
  | { readonly kind: 'acknowledged' }
  | {
      readonly kind: 'failed';
      readonly outcome: Extract<
        Outcome,
        { kind: 'held' | 'deferred' | 'unavailable' | 'misconfigured' | 'aborted' }
      >;
    }
  /** A local fault: the same again later. */
  | { readonly kind: 'fault' }
) & {
  /**
   * What the controller's answers showed: that it answers, that it remembers what it acknowledged
   * earlier, or that it stores now.
   */
  readonly shown?: 'answer' | 'memory' | 'proof';
  /** A proof that leaves what was acknowledged before it in doubt. */
  readonly isLate?: boolean;
};

export interface LearnerOptions {
  readonly store: MessageStore;
  readonly faults: Faults;
  readonly lanes: Lanes;
  readonly ledger: Ledger;
  readonly office: PostOffice;
  /** Waits the given milliseconds, less while stopping. */
  readonly pause: (ms: number) => Promise<void>;
  readonly clock: Clock;
}

export function quarantined(reason: string): Finish {
  return { kind: 'quarantined', reason };
}
