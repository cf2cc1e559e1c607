import type { Clock } from '../clock.ts';
import { errnoOf } from '../errors.ts';
import { FAULTED } from '../spool/disk-faults.ts';
import type { DiskFaults } from '../spool/disk-faults.ts';
import { keyLock } from '../spool/message-locks.ts';
import type { MessageLocks } from '../spool/message-locks.ts';
import type { Stamp } from '../spool/message.ts';
import type { Outcome } from '../trainers/trainer.ts';
import type { Affinity } from './affinity.ts';
import type { Controller } from './controller.ts';
import { identify } from './identity.ts';
import type { PendingMessage } from './message.ts';
import { learnAndProve } from './posts.ts';
import type { Post, Posts, Proof, Unlearned } from './posts.ts';
import { MOST_POSTS, postsOfRound, reasonToLetGo } from './proof.ts';
import { quarantined } from './result.ts';
import type { Disposition } from './result.ts';
import type { ProofSampler } from './sampler.ts';
import type { MessageStore } from './store.ts';

/**
 * An attempt takes one message through one try: read it, hold its locks, post and prove it, and when
 * that ends it, dispose of it. Acknowledge, prove, dispose, in this order, each step safe to repeat.
 * It judges nobody: what a failure means is for attribution to say.
 */
export interface AttemptsOptions {
  readonly store: MessageStore;
  readonly faults: DiskFaults;
  readonly locks: MessageLocks;
  readonly affinity: Affinity;
  readonly posts: Posts;
  readonly sampler: ProofSampler | undefined;
  readonly pause: (ms: number) => Promise<void>;
  readonly clock: Clock;
}

/** What one try came to. */
export type Attempt = (
  | { readonly kind: 'done'; readonly result: Disposition }
  | { readonly kind: 'withdrawn' }
  /** The file has changed: it has to settle again. */
  | { readonly kind: 'changed'; readonly stamp: Stamp }
  /** One of its locks is held, or binds it to another controller, or its turn has not come. */
  | { readonly kind: 'busy' }
  /** `isRound`: it was posted again after a 200; one 200 alone shows nothing of the controller. */
  | { readonly kind: 'unproven'; readonly isRound: boolean }
  /** It was posted as often as it may be: another message's proof, or `/stat`, has to tell. */
  | { readonly kind: 'spent' }
  /** Answered 200; a later message's proof will do. */
  | { readonly kind: 'acknowledged' }
  | { readonly kind: 'failed'; readonly outcome: Failure }
  /** A disk fault: the same again later. */
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

export type Failure = Exclude<Unlearned, { readonly kind: 'refused' | 'rejected' }>;

/** Names the disposal among the places that disk faults pause. */
export const DISPOSAL = 'the disposal of learned messages';
/** Names the post counts among them. */
const POSTS = "the state dir's folder posts";
/** Errors of a disposal that are this one file's: immutable, a mount point, a folder in its place. */
const FILE_ERRORS = new Set(['EPERM', 'EBUSY', 'EISDIR', 'ENOTEMPTY', 'ETXTBSY']);
/** Nearly every message is proven by its second post: so many are not recorded. */
const UNRECORDED_POSTS = 2;

/** Names the disposal of one message, where nothing keeps the others from theirs. */
export function disposalOf({ entry }: PendingMessage): string {
  return `${DISPOSAL}, of ${entry.key}`;
}

export class Attempts {
  readonly #options: AttemptsOptions;
  /** Counts the 200s of all controllers. */
  #sequence = 0;

  constructor(options: AttemptsOptions) {
    this.#options = options;
  }

  /** The caller holds the lock of the message's key. Rejects only by an error of this program. */
  async try(message: PendingMessage, controller: Controller): Promise<Attempt> {
    if (message.disposition !== undefined) return this.end(message, message.disposition);
    const letGo = reasonToLetGo(message.proof);
    if (letGo !== undefined) {
      const fault = controller.versionFault;
      const reason = fault === undefined ? letGo : `${letGo}; ${fault.does}`;
      return this.end(message, { kind: 'learned', proven: false, reason });
    }
    const { store, faults, locks, affinity } = this.#options;
    const { entry } = message;
    const read = await faults.guard(store.placeOf(entry.verdict), () => store.read(entry), {
      throwsBugs: true,
    });
    if (read === FAULTED) return { kind: 'fault' };
    if (read.kind === 'gone') return { kind: 'withdrawn' };
    if (read.kind === 'changed') return read;
    if (read.kind === 'unfit') return this.end(message, quarantined(read.reason));
    message.identity = identify(entry.key, read.body);
    const all = message.identity.locks;
    const others = all.filter((lock) => lock !== keyLock(entry.key));
    const bound = affinity.controllerOf(all) ?? controller.name;
    if (!locks.areFree(others) || bound !== controller.name) return { kind: 'busy' };
    locks.hold(others);
    try {
      const { key, verdict } = entry;
      return await this.#post(message, controller, { key, verdict, body: read.body, locks: all });
    } finally {
      locks.release(others);
    }
  }

  /** Moves the file of a message to where it ends. */
  async end(message: PendingMessage, disposition: Disposition): Promise<Attempt> {
    const { store, faults } = this.#options;
    const isRepeated = message.disposition !== undefined;
    const own = disposalOf(message);
    message.disposition = disposition;
    const different = await faults.guard(DISPOSAL, () => store.dispose(message, disposition), {
      // One file that can't be moved doesn't stop the others.
      narrow: (error) => (FILE_ERRORS.has(errnoOf(error) ?? '') ? own : undefined),
      throwsBugs: true,
    });
    if (different === FAULTED) return { kind: 'fault' };
    faults.clear(own);
    // Gone after a try that failed: it had taken effect (NFS, where the answer got lost).
    if (different === undefined || (isRepeated && different.kind === 'gone')) {
      return { kind: 'done', result: disposition };
    }
    return different.kind === 'gone' ? { kind: 'withdrawn' } : different;
  }

  async #post(message: PendingMessage, controller: Controller, post: Post): Promise<Attempt> {
    const { pause, sampler, clock, store } = this.#options;
    const { proof } = message;
    const isRepeated = proof.acknowledged !== undefined;
    proof.posts ??= store.postsOf(message.entry);
    const most = postsOfRound(proof, {
      isDoubted: controller.state === 'unproven',
      isFaulty: controller.versionFault !== undefined,
    });
    if (most === 0) return { kind: 'spent' };
    const postedAt = clock.monotonic();
    message.tries += 1;
    proof.firstRoundAt ??= postedAt;
    proof.lastRoundAt = postedAt;
    const proved = await learnAndProve({
      most,
      pause,
      post: this.#counting(message, most, controller, post),
      acknowledged: () => {
        proof.acknowledged = { controller: controller.name, sequence: this.#nextSequence() };
        const tookMs = clock.monotonic() - postedAt;
        // A message that is posted again is in doubt already.
        return sampler?.wantsProof(controller, post.body.length, tookMs) !== false || isRepeated;
      },
    });
    return this.#conclude(message, controller, post, proved, { isRepeated, isRound: most > 1 });
  }

  async #conclude(
    message: PendingMessage,
    controller: Controller,
    post: Post,
    proved: Proof,
    { isRepeated, isRound }: { readonly isRepeated: boolean; readonly isRound: boolean },
  ): Promise<Attempt> {
    const { posts, affinity } = this.#options;
    switch (proved.kind) {
      case 'acknowledged':
        return { kind: 'acknowledged' };
      case 'unproven':
        // The last posts come after another message's proof: they show nothing of the controller.
        if ((message.proof.posts ?? 0) >= MOST_POSTS) return { kind: 'spent' };
        return { kind: 'unproven', isRound };
      case 'failed':
        return this.#unlearned(message, proved.outcome);
      case 'proven':
      case 'known':
        break;
    }
    // Answered 200 in an earlier try and 208 now: that is the proof that it was waiting for.
    const proven = proved.kind === 'proven' || isRepeated;
    if (proven) posts.keepCanary(controller, post);
    // Another controller may wake and carry out an older verdict: it has to hear this one too.
    const isBoundElsewhere = affinity.controllerOf(post.locks) !== undefined;
    const attempt: Attempt = isBoundElsewhere
      ? { kind: 'busy' }
      : await this.end(message, proven ? { kind: 'learned', proven: true } : { kind: 'duplicate' });
    if (proved.kind === 'proven') return { ...attempt, shown: 'proof', isLate: proved.isLate };
    return { ...attempt, shown: isRepeated ? 'memory' : 'answer' };
  }

  async #unlearned(message: PendingMessage, outcome: Unlearned): Promise<Attempt> {
    switch (outcome.kind) {
      case 'refused':
        return { ...(await this.end(message, outcome)), shown: 'answer' };
      case 'rejected':
        return { ...(await this.end(message, quarantined(outcome.reason))), shown: 'answer' };
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

  /**
   * Counts the posts that are answered 200, and records the number: before there can be a third one,
   * but of the last round only when it is over, because that has to have been made.
   */
  #counting(
    message: PendingMessage,
    most: number,
    controller: Controller,
    post: Post,
  ): () => Promise<Outcome> {
    const { posts, clock } = this.#options;
    const { proof } = message;
    const send = (): Promise<Outcome> => posts.post(controller, post);
    if (proof.isOrdered) {
      proof.isOrdered = false;
      return send;
    }
    const before = proof.posts ?? 0;
    const isLast = before + most >= MOST_POSTS;
    let posted = 0;
    let isRecorded = isLast;
    return async () => {
      if (before + posted >= UNRECORDED_POSTS && !isRecorded) {
        isRecorded = true;
        await this.#record(message, before + most);
      }
      const outcome = await send();
      if (outcome.kind !== 'learned') return outcome;
      posted += 1;
      proof.posts = before + posted;
      proof.acknowledgedAt = clock.monotonic();
      proof.othersProved = false;
      if (isLast && posted === most) await this.#record(message, proof.posts);
      return outcome;
    };
  }

  async #record({ entry }: PendingMessage, posts: number): Promise<void> {
    const { store, faults } = this.#options;
    const record = (): void => {
      store.recordPosts(entry, posts);
    };
    await faults.guard(POSTS, record, { throwsBugs: true });
  }

  #nextSequence(): number {
    this.#sequence += 1;
    return this.#sequence;
  }
}
