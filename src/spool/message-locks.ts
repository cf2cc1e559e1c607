/**
 * Message locks: messages with the same key, the same Message-ID or the same body are never in flight
 * together, and no file is put in the place of a message that is. Pickup and delivery share them. For
 * a key the lock keeps the order of verdicts.
 */
export class MessageLocks {
  readonly #held = new Set<string>();
  readonly #listeners = new Set<(key: string) => void>();

  areFree(locks: readonly string[]): boolean {
    return !locks.some((lock) => this.#held.has(lock));
  }

  hold(locks: readonly string[]): void {
    for (const lock of locks) this.#held.add(lock);
  }

  release(locks: readonly string[]): void {
    for (const lock of locks) this.#held.delete(lock);
  }

  isKeyHeld(key: string): boolean {
    return this.#held.has(keyLock(key));
  }

  holdKey(key: string): void {
    this.#held.add(keyLock(key));
  }

  /** Releases a key, and tells those who may wait for it. */
  releaseKey(key: string): void {
    this.#held.delete(keyLock(key));
    for (const listener of this.#listeners) listener(key);
  }

  /** Calls `listener` with each key that is released from now on, until `signal` is aborted. */
  onKeyReleased(listener: (key: string) => void, signal?: AbortSignal): void {
    this.#listeners.add(listener);
    const end = (): void => {
      this.#listeners.delete(listener);
    };
    signal?.addEventListener('abort', end, { once: true });
  }
}

export function keyLock(key: string): string {
  return `key:${key}`;
}
