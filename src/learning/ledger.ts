import type { Controller } from './controller.ts';
import type { Acknowledgement, Delivery } from './delivery.ts';

/**
 * The ledger: which answers have to be proven, and what was acknowledged without a proof so far.
 *
 * The daemon proves every message by itself, and its ledger stays empty. `relearn`, which keeps its
 * sources, proves one message in a hundred, every one after a recovery, every one that was answered
 * slowly, and the last. A proof commits what the same controller acknowledged before; when the
 * controller fails, or is not to be believed, what it acknowledged since is posted again.
 *
 * A message in here is nowhere else: not pending, deferred or in flight.
 */
export interface LedgerOptions {
  /** One of so many acknowledged messages is proven; 1: each. */
  readonly proveEvery: number;
}

/** rspamd 3.4 with a hung Redis answers 200 after four seconds and has stored nothing. */
const SLOW_MS = 1_000;
/** Messages wait here with their bodies, to be posted again if need be. */
const LARGEST_BYTES = 16 * 1024 * 1024;

interface Page {
  readonly deliveries: Set<Delivery>;
  bytes: number;
  /** Acknowledged since a proof was asked for. */
  sinceAsked: number;
}

export class Ledger {
  readonly #proveEvery: number;
  readonly #pages = new Map<string, Page>();
  #sequence = 0;

  constructor(options: LedgerOptions) {
    this.#proveEvery = options.proveEvery;
  }

  /** Messages that are acknowledged and not proven. */
  get size(): number {
    let size = 0;
    for (const { deliveries } of this.#pages.values()) size += deliveries.size;
    return size;
  }

  acknowledge(controller: Controller): Acknowledgement {
    this.#sequence += 1;
    return { by: controller.name, sequence: this.#sequence };
  }

  /**
   * Whether the message that was just answered 200 has to be proven.
   * @param bytes the size of its body
   * @param tookMs how long the answer took
   */
  wantsProof(controller: Controller, bytes: number, tookMs: number): boolean {
    const page = this.#page(controller.name);
    page.sinceAsked += 1;
    const wants =
      page.sinceAsked >= this.#proveEvery ||
      page.bytes + bytes > LARGEST_BYTES ||
      tookMs > SLOW_MS ||
      controller.state !== 'up' ||
      controller.isSuspected;
    if (wants) page.sinceAsked = 0;
    return wants;
  }

  /** Keeps an acknowledged message until a later one of the same controller is proven. */
  add(delivery: Delivery, by: string): void {
    const page = this.#page(by);
    page.deliveries.add(delivery);
    page.bytes += Number(delivery.entry.stamp.size);
  }

  /** Takes out what the controller of a proven message had acknowledged before it. */
  commit({ acknowledged }: Delivery): Delivery[] {
    if (acknowledged === undefined) return [];
    return this.#take(
      acknowledged.by,
      (each) => (each.acknowledged?.sequence ?? Infinity) < acknowledged.sequence,
    );
  }

  /** Takes out all that the controller acknowledged and that isn't proven. */
  recall(by: string): Delivery[] {
    return this.#take(by, () => true);
  }

  /** Takes out the last message of each controller: its proof commits the others. */
  takeLast(): Delivery[] {
    return [...this.#pages].flatMap(([by, { deliveries }]) => {
      const last = [...deliveries].at(-1);
      return last === undefined ? [] : this.#take(by, (each) => each === last);
    });
  }

  #take(by: string, isMeant: (delivery: Delivery) => boolean): Delivery[] {
    const page = this.#page(by);
    const taken = [...page.deliveries].filter(isMeant);
    for (const delivery of taken) {
      page.deliveries.delete(delivery);
      page.bytes -= Number(delivery.entry.stamp.size);
    }
    return taken;
  }

  #page(by: string): Page {
    const page = this.#pages.get(by) ?? { deliveries: new Set(), bytes: 0, sinceAsked: 0 };
    this.#pages.set(by, page);
    return page;
  }
}
