/**
 * Affinity: a post that got no answer binds its locks to its controller. That controller may be
 * frozen, and will carry out what it was sent when it wakes. Later posts with such a lock go to the
 * same controller, behind the old one, until it answers one of them, refuses connections (its process
 * is gone), or has been silent for an hour.
 */
export const BOUND_MS = 3_600_000;

export class Affinity {
  readonly #now: () => number;
  /** Since when a lock is bound to a controller. */
  readonly #bound = new Map<string, Map<string, number>>();

  /** @param now the monotonic clock, in milliseconds */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** A post with these locks got no answer. */
  bind(locks: readonly string[], controller: string): void {
    this.#expire();
    const now = this.#now();
    for (const lock of locks) {
      const controllers = this.#bound.get(lock) ?? new Map<string, number>();
      this.#bound.set(lock, controllers);
      if (!controllers.has(controller)) controllers.set(controller, now);
    }
  }

  /** The controller answered a post with these locks. */
  unbind(locks: readonly string[], controller: string): void {
    for (const lock of locks) this.#remove(lock, controller);
  }

  /** The controller's process is gone, and with it what it had been sent. */
  unbindAll(controller: string): void {
    for (const lock of [...this.#bound.keys()]) this.#remove(lock, controller);
  }

  /** The controller that these locks have been bound to the longest. */
  controllerOf(locks: readonly string[]): string | undefined {
    if (this.#bound.size === 0) return undefined;
    let first: string | undefined;
    let firstSince = Infinity;
    for (const lock of locks) {
      for (const [controller, since] of this.#bound.get(lock) ?? []) {
        if (this.#isOver(since) || since >= firstSince) continue;
        first = controller;
        firstSince = since;
      }
    }
    return first;
  }

  #isOver(since: number): boolean {
    return this.#now() - since >= BOUND_MS;
  }

  #expire(): void {
    for (const [lock, controllers] of this.#bound) {
      for (const [controller, since] of controllers) {
        if (this.#isOver(since)) this.#remove(lock, controller);
      }
    }
  }

  #remove(lock: string, controller: string): void {
    const controllers = this.#bound.get(lock);
    controllers?.delete(controller);
    if (controllers?.size === 0) this.#bound.delete(lock);
  }
}
