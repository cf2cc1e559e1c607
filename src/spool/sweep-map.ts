/**
 * A map of what sweeps find: what a whole sweep didn't touch any more is gone from the folder, and
 * is forgotten. It holds a limited number of entries; what has no room isn't remembered.
 */
export class SweepMap<V> {
  readonly #limit: number;
  readonly #entries = new Map<string, { value: V; touched: boolean }>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Returns what is remembered of `id` without counting that as a find. */
  peek(id: string): V | undefined {
    return this.#entries.get(id)?.value;
  }

  /** Remembers `value`; false when there is no room and `beyondLimit` isn't set. */
  set(id: string, value: V, beyondLimit = false): boolean {
    const isFull = !this.#entries.has(id) && this.#entries.size >= this.#limit;
    if (isFull && !beyondLimit) return false;
    this.#entries.set(id, { value, touched: true });
    return true;
  }

  delete(id: string): void {
    this.#entries.delete(id);
  }

  /** To be called after a sweep that saw every file. */
  endSweep(): void {
    for (const [id, entry] of this.#entries) {
      if (entry.touched) entry.touched = false;
      else this.#entries.delete(id);
    }
  }
}
