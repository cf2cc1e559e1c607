import { createHash } from 'node:crypto';
import type { Clock } from '../clock.ts';

/**
 * Which controller a message goes to: the one that its key prefers, unless a post without an answer
 * binds it to another.
 *
 * A controller that didn't answer may be frozen, and will carry out what it was sent when it wakes. So
 * such a post binds its locks to its controller: later posts with one of these locks go there, behind
 * the old one, until the controller answers one of them, refuses connections (its process is gone), or
 * has been silent for an hour.
 */
export const BOUND_MS = 3_600_000;

export class Affinity {
  readonly #clock: Clock;
  /** Since when a lock is bound to a controller. */
  readonly #bound = new Map<string, Map<string, number>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A post with these locks got no answer. */
  bind(locks: readonly string[], controller: string): void {
    const now = this.#clock.monotonic();
    for (const [lock, controllers] of this.#bound) {
      for (const [each, since] of controllers) if (this.#isOver(since)) this.#remove(lock, each);
    }
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
    this.unbind([...this.#bound.keys()], controller);
  }

  /** The controller that these locks have been bound to the longest. */
  controllerOf(locks: readonly string[]): string | undefined {
    if (this.#bound.size === 0) return undefined;
    const bonds = locks.flatMap((lock) => [...(this.#bound.get(lock) ?? [])]);
    const [first] = bonds
      .filter(([, since]) => !this.#isOver(since))
      .sort(([, one], [, other]) => one - other);
    return first?.[0];
  }

  #isOver(since: number): boolean {
    return this.#clock.monotonic() - since >= BOUND_MS;
  }

  #remove(lock: string, controller: string): void {
    const controllers = this.#bound.get(lock);
    controllers?.delete(controller);
    if (controllers?.size === 0) this.#bound.delete(lock);
  }
}

/**
 * The order in which a key tries the controllers (rendezvous hashing): always the same for a key,
 * and one controller more or less moves only the keys that it had.
 */
export function preferenceOf(key: string, controllers: readonly string[]): readonly string[] {
  if (controllers.length < 2) return controllers;
  const weights = new Map(controllers.map((name) => [name, weightOf(name, key)]));
  return [...controllers].sort((a, b) => (weights.get(b) ?? 0) - (weights.get(a) ?? 0));
}

function weightOf(controller: string, key: string): number {
  return createHash('sha256').update(`${controller}\n${key}`).digest().readUInt32BE(0);
}
