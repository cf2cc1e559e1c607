import type { Controller } from '../delivery/controller.ts';
import type { PendingMessage } from '../delivery/message.ts';
import { isRecognised } from '../delivery/proof.ts';
import type { ProofSampler } from '../delivery/store.ts';

/**
 * Proof sampling: `relearn` keeps its sources, so it proves one message in a hundred, every one after
 * a recovery, every one that was answered slowly, and the last. A proof commits what the same
 * controller acknowledged before; when the controller fails, or is not to be believed, what it
 * acknowledged since is posted again.
 *
 * The one in a hundred is one that rspamd recognises, if one comes before twice as many: of the others
 * some prove late in the best of times, and whatever is posted again may be counted again.
 *
 * A message in here is nowhere else: not pending, deferred or in flight.
 */

/** rspamd 3.4 with a hung Redis answers 200 after four seconds and has stored nothing. */
const SLOW_MS = 1_000;
/** Messages wait here with their bodies, to be posted again if need be. */
const LARGEST_BYTES = 16 * 1024 * 1024;

/** What one controller acknowledged since its last proof. */
interface Unproven {
  readonly messages: Set<PendingMessage>;
  bytes: number;
  /** Acknowledged since a proof was asked for. */
  sinceAsked: number;
}

export class SparseProofs implements ProofSampler {
  readonly #proveEvery: number;
  readonly #onCommitted: (message: PendingMessage) => void;
  readonly #unproven = new Map<string, Unproven>();

  /**
   * @param proveEvery about one of so many acknowledged messages is proven; 1: each
   * @param onCommitted hears of each message whose proof is another one's
   */
  constructor(
    proveEvery: number,
    onCommitted: (message: PendingMessage) => void = () => undefined,
  ) {
    this.#proveEvery = proveEvery;
    this.#onCommitted = onCommitted;
  }

  /** Messages that are acknowledged and not proven. */
  get size(): number {
    return [...this.#unproven.values()].reduce((sum, { messages }) => sum + messages.size, 0);
  }

  wantsProof(controller: Controller, body: Buffer, tookMs: number): boolean {
    const unproven = this.#of(controller.name);
    unproven.sinceAsked += 1;
    const { sinceAsked } = unproven;
    const isOverdue = sinceAsked > 2 * (this.#proveEvery - 1);
    const wants =
      (sinceAsked >= this.#proveEvery && (isOverdue || isRecognised(body))) ||
      unproven.bytes + body.length > LARGEST_BYTES ||
      tookMs > SLOW_MS ||
      controller.state !== 'up' ||
      controller.isSuspected;
    if (wants) unproven.sinceAsked = 0;
    return wants;
  }

  add(message: PendingMessage, controller: string): void {
    const unproven = this.#of(controller);
    unproven.messages.add(message);
    unproven.bytes += message.entry.bytes;
  }

  commit({ proof: { acknowledged: proven } }: PendingMessage): PendingMessage[] {
    if (proven === undefined) return [];
    const isEarlier = ({ proof: { acknowledged } }: PendingMessage): boolean =>
      acknowledged !== undefined && acknowledged.sequence < proven.sequence;
    const committed = this.#take(proven.controller, isEarlier);
    for (const each of committed) this.#onCommitted(each);
    return committed;
  }

  recall(controller: string): PendingMessage[] {
    return this.#take(controller, () => true);
  }

  /** Takes out the last message of each controller: its proof commits the others. */
  takeLast(): PendingMessage[] {
    return [...this.#unproven].flatMap(([controller, { messages }]) => {
      const last = [...messages].at(-1);
      return this.#take(controller, (each) => each === last);
    });
  }

  #take(controller: string, isMeant: (message: PendingMessage) => boolean): PendingMessage[] {
    const unproven = this.#of(controller);
    const taken = [...unproven.messages].filter(isMeant);
    for (const message of taken) {
      unproven.messages.delete(message);
      unproven.bytes -= message.entry.bytes;
    }
    return taken;
  }

  #of(controller: string): Unproven {
    const known = this.#unproven.get(controller);
    if (known !== undefined) return known;
    const unproven = { messages: new Set<PendingMessage>(), bytes: 0, sinceAsked: 0 };
    this.#unproven.set(controller, unproven);
    return unproven;
  }
}
