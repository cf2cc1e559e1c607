/**
 * Lanes: messages with the same key, the same Message-ID or the same body are never in flight
 * together. For a key the lane keeps the order of verdicts.
 *
 * A post that got no answer *pins* its lanes to its controller: that may be frozen, and will carry
 * out what it was sent when it wakes. Later posts of the lane go there too, behind the old one,
 * until it answers one of them, refuses connections (its process is gone) or has been silent for an
 * hour.
 */
export const PIN_MS = 3_600_000;

interface Pin {
  readonly controller: string;
  since: number;
}

export class Lanes {
  readonly #now: () => number;
  readonly #held = new Set<string>();
  readonly #pins = new Map<string, Map<string, Pin>>();

  /** @param now the monotonic clock, in milliseconds */
  constructor(now: () => number) {
    this.#now = now;
  }

  areFree(lanes: readonly string[]): boolean {
    return !lanes.some((lane) => this.#held.has(lane));
  }

  isHeld(lane: string): boolean {
    return this.#held.has(lane);
  }

  hold(lanes: readonly string[]): void {
    for (const lane of lanes) this.#held.add(lane);
  }

  release(lanes: readonly string[]): void {
    for (const lane of lanes) this.#held.delete(lane);
  }

  /** A post of these lanes to the controller got no answer. */
  pin(lanes: readonly string[], controller: string): void {
    this.#expire();
    const pin: Pin = { controller, since: this.#now() };
    for (const lane of lanes) {
      const pins = this.#pins.get(lane) ?? new Map<string, Pin>();
      pins.set(controller, pins.get(controller) ?? pin);
      this.#pins.set(lane, pins);
    }
  }

  /** The controller answered a post of these lanes. */
  unpin(lanes: readonly string[], controller: string): void {
    for (const lane of lanes) this.#remove(lane, controller);
  }

  /** The controller's process is gone, and with it what it had been sent. */
  unpinAll(controller: string): void {
    for (const lane of [...this.#pins.keys()]) this.#remove(lane, controller);
  }

  /** The controller that these lanes are pinned to the longest. */
  pinnedTo(lanes: readonly string[]): string | undefined {
    if (this.#pins.size === 0) return undefined;
    let first: Pin | undefined;
    for (const lane of lanes) {
      for (const pin of this.#pins.get(lane)?.values() ?? []) {
        if (this.#isOver(pin)) continue;
        if (first === undefined || pin.since < first.since) first = pin;
      }
    }
    return first?.controller;
  }

  #isOver(pin: Pin): boolean {
    return this.#now() - pin.since >= PIN_MS;
  }

  #expire(): void {
    for (const [lane, pins] of this.#pins) {
      for (const pin of pins.values()) if (this.#isOver(pin)) this.#remove(lane, pin.controller);
    }
  }

  #remove(lane: string, controller: string): void {
    const pins = this.#pins.get(lane);
    pins?.delete(controller);
    if (pins?.size === 0) this.#pins.delete(lane);
  }
}
