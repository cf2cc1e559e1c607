import { setMaxListeners } from 'node:events';
import { sleep } from '../clock.ts';
import { errnoOf } from '../errors.ts';
import { FAULTED } from '../spool/disk-faults.ts';
import { keyLock } from '../spool/message-locks.ts';
import type { Example, Outcome } from '../trainers/trainer.ts';
import type { Affinity } from './affinity.ts';
import type { Controller } from './controller.ts';
import { identify } from './message.ts';
import type { MessageEntry, PendingMessage } from './message.ts';
import { MOST_POSTS, PROOF_WAITS_MS, isRecognised, postsOfRound, reasonToLetGo } from './proof.ts';
import { quarantined } from './result.ts';
import type { Disposition } from './result.ts';
import type { DeliveryOptions } from './store.ts';

/** What one try came to. */
export type Attempt = (
  | { readonly kind: 'done'; readonly result: Disposition }
  | { readonly kind: 'withdrawn' }
  /** The file has changed: it has to settle again. */
  | { readonly kind: 'changed'; readonly entry: MessageEntry }
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
  /**
   * A proof that came only after a wait, of a message that rspamd recognises at once: what was
   * acknowledged before it is in doubt.
   */
  readonly isLate?: boolean;
};

export type Failure = Extract<
  Outcome,
  { readonly kind: 'held' | 'deferred' | 'unavailable' | 'misconfigured' | 'aborted' }
>;

interface Post extends Example {
  readonly locks: readonly string[];
}

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

/**
 * An attempt takes one message through one try: read it, hold its locks, post and prove it, and when
 * that ends it, dispose of it. Acknowledge, prove, dispose, in this order, each step safe to repeat.
 * It judges nobody: what a failure means is for attribution to say. Nothing else posts.
 */
export class Attempts {
  /** Ends the waits between the posts of one message. */
  readonly ending = new AbortController();
  /** Aborts posts. */
  readonly aborting = new AbortController();
  readonly #options: DeliveryOptions;
  readonly #affinity: Affinity;
  /** Counts the 200s of all controllers. */
  #sequence = 0;

  constructor(options: DeliveryOptions, affinity: Affinity) {
    this.#options = options;
    this.#affinity = affinity;
    // Every post in flight listens.
    setMaxListeners(0, this.ending.signal, this.aborting.signal);
  }

  /** The caller holds the lock of the message's key. Rejects only by an error of this program. */
  async try(message: PendingMessage, controller: Controller): Promise<Attempt> {
    if (message.disposition !== undefined) return this.end(message, message.disposition);
    const letGo = reasonToLetGo(message.proof);
    if (letGo !== undefined) {
      const fault = controller.trainer.versionFault;
      const reason = fault === undefined ? letGo : `${letGo}; ${fault.does}`;
      return this.end(message, { kind: 'learned', proven: false, reason });
    }
    const { store, faults, locks: held, findUser, events } = this.#options;
    const { key, verdict } = message.entry;
    const readIt = (): ReturnType<typeof store.read> => store.read(message.entry);
    const read = await faults.guard(store.placeOf(verdict), readIt, { throwsBugs: true });
    if (read === FAULTED) return { kind: 'fault' };
    if (read.kind === 'gone') return { kind: 'withdrawn' };
    if (read.kind === 'changed') return read;
    if (read.kind === 'unfit') return this.end(message, quarantined(read.reason));
    const { body } = read;
    const user = findUser?.(body);
    if (findUser !== undefined && user === undefined && message.identity === undefined) {
      events.withoutUser();
    }
    message.identity = identify(key, body, user, controller.trainer.identityOf);
    const { locks } = message.identity;
    const others = locks.filter((lock) => lock !== keyLock(key));
    const bound = this.#affinity.controllerOf(locks) ?? controller.name;
    if (!held.areFree(others) || bound !== controller.name) return { kind: 'busy' };
    held.hold(others);
    try {
      return await this.#learn(message, controller, { verdict, key, body, locks, user });
    } finally {
      held.release(others);
    }
  }

  /** Moves the file of a message to where it ends. */
  async end(message: PendingMessage, disposition: Disposition): Promise<Attempt> {
    const { store, faults } = this.#options;
    const isRepeated = message.disposition !== undefined;
    const own = disposalOf(message);
    message.disposition = disposition;
    const move = (): ReturnType<typeof store.dispose> =>
      store.dispose(message.entry, disposition, message);
    const different = await faults.guard(DISPOSAL, move, {
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

  /** Posts a message, and posts it again until its controller is seen to remember it. */
  async #learn(message: PendingMessage, controller: Controller, post: Post): Promise<Attempt> {
    const { sampler, clock, store } = this.#options;
    const { proof } = message;
    proof.posts ??= store.postsOf(message.entry);
    const isDoubted =
      controller.state === 'unproven' || controller.trainer.versionFault !== undefined;
    const most = postsOfRound(proof, isDoubted);
    if (most === 0) return { kind: 'spent' };
    const wasAcknowledged = proof.acknowledged !== undefined;
    const startedAt = clock.monotonic();
    message.tries += 1;
    proof.isAwaited = false;
    proof.firstPostAt ??= startedAt;
    const isCounted = !proof.isOrdered;
    proof.isOrdered = false;
    const send = (): Promise<Outcome> => this.#sendCounted(message, controller, post, isCounted);
    let outcome = await send();
    if (outcome.kind === 'duplicate') {
      // Answered 200 in an earlier try and 208 now: that is the proof that it was waiting for.
      return this.#remembered(message, post, wasAcknowledged ? 'memory' : 'answer');
    }
    const tookMs = clock.monotonic() - startedAt;
    const isSparse =
      outcome.kind === 'learned' && sampler?.wantsProof(controller, post.body, tookMs) === false;
    if (isSparse && !wasAcknowledged) return { kind: 'acknowledged' };
    for (const waitMs of PROOF_WAITS_MS.slice(0, most - 1)) {
      if (outcome.kind !== 'learned') break;
      if (waitMs > 0) await sleep(clock, waitMs, this.ending.signal);
      outcome = await send();
      if (outcome.kind !== 'duplicate') continue;
      const isLate = waitMs > 0 && isRecognised(post.body);
      return { ...(await this.#remembered(message, post, 'proof')), isLate };
    }
    if (outcome.kind !== 'learned') return this.#unlearned(message, outcome);
    // The last posts come after another message's proof: they show nothing of the controller.
    if (proof.posts >= MOST_POSTS) return { kind: 'spent' };
    return { kind: 'unproven', isRound: most > 1 };
  }

  async #remembered(
    message: PendingMessage,
    { locks }: Post,
    shown: 'answer' | 'memory' | 'proof',
  ): Promise<Attempt> {
    // Another controller may wake and carry out an older verdict: it has to hear this one too.
    if (this.#affinity.controllerOf(locks) !== undefined) return { kind: 'busy', shown };
    const result: Disposition =
      shown === 'answer' ? { kind: 'duplicate' } : { kind: 'learned', proven: true };
    return { ...(await this.end(message, result)), shown };
  }

  async #unlearned(
    message: PendingMessage,
    outcome: Exclude<Outcome, { kind: 'learned' | 'duplicate' }>,
  ): Promise<Attempt> {
    switch (outcome.kind) {
      case 'refused':
        return { ...(await this.end(message, outcome)), shown: 'answer' };
      case 'rejected':
        return { ...(await this.end(message, quarantined(outcome.reason))), shown: 'answer' };
      case 'unavailable':
        // Only asked too fast: it goes again, at the controller's pace.
        return outcome.limit === undefined ? { kind: 'failed', outcome } : { kind: 'busy' };
      case 'held':
      case 'deferred':
      case 'misconfigured':
      case 'aborted':
        return { kind: 'failed', outcome };
    }
  }

  /**
   * Sends a message, counts the posts that are answered 200, and records the number from the third one
   * on: before it is sent, but the last one only afterwards, because that one has to have been made.
   */
  async #sendCounted(
    message: PendingMessage,
    controller: Controller,
    post: Post,
    isCounted: boolean,
  ): Promise<Outcome> {
    const { proof } = message;
    const posts = (proof.posts ?? 0) + 1;
    const isLast = posts >= MOST_POSTS;
    if (isCounted && posts > UNRECORDED_POSTS && !isLast) await this.#record(message, posts);
    const outcome = await this.#send(controller, post);
    if (outcome.kind !== 'learned') return outcome;
    this.#sequence += 1;
    const at = this.#options.clock.monotonic();
    proof.acknowledged = { controller: controller.name, sequence: this.#sequence, at };
    if (!isCounted) return outcome;
    proof.posts = posts;
    proof.othersProved = false;
    if (isLast) await this.#record(message, posts);
    return outcome;
  }

  async #record({ entry }: PendingMessage, posts: number): Promise<void> {
    const { store, faults } = this.#options;
    const record = (): void => store.recordPosts(entry, posts);
    await faults.guard(POSTS, record, { throwsBugs: true });
  }

  /** Posts a message once, in its turn. */
  async #send(controller: Controller, post: Post): Promise<Outcome> {
    const { clock } = this.#options;
    const { pace, trainer } = controller;
    if (!(await pace.take(this.ending.signal))) return pace.refusal;
    const sentAt = clock.monotonic();
    const outcome = await trainer.learn(post, this.aborting.signal);
    if (outcome.kind === 'unavailable' && outcome.limit !== undefined) {
      pace.refused(outcome, sentAt);
      return pace.refusal;
    }
    if (outcome.kind === 'learned') controller.learns += 1;
    this.#note(outcome, controller, post.locks);
    return outcome;
  }

  /** What an answer, or none, means for the pace of a controller and for what is bound to it. */
  #note(outcome: Outcome, { pace, name }: Controller, locks: readonly string[]): void {
    const affinity = this.#affinity;
    switch (outcome.kind) {
      case 'learned':
      case 'duplicate':
      case 'refused':
      case 'rejected':
        pace.passed();
        affinity.unbind(locks, name);
        break;
      case 'unavailable':
        if (outcome.contact === 'answered') affinity.unbind(locks, name);
        if (outcome.contact === 'refused') affinity.unbindAll(name);
        if (outcome.contact === 'silent') this.#bind(locks, name);
        break;
      case 'deferred':
      case 'aborted':
        if (outcome.kind === 'deferred' && outcome.answered) affinity.unbind(locks, name);
        else this.#bind(locks, name);
        break;
      case 'held':
      case 'misconfigured':
        break;
    }
  }

  /** What a controller was sent it may still carry out. */
  #bind(locks: readonly string[], controller: string): void {
    if (this.#options.controllers.length > 1) this.#affinity.bind(locks, controller);
  }
}
