import type { Verdict } from '../../verdict.ts';

/**
 * What spamd may still carry out although we have given it up: a child that is frozen, or was too busy
 * to begin, does so when it wakes (seen on 4.0.1: the older verdict won 5 times in 5). Until then no
 * other verdict of the same key may be taught.
 */
export class OwedAnswers {
  readonly #byKey = new Map<string, Set<Owed>>();

  /**
   * @param verdict that it may still learn; `undefined` for a message that it may still forget
   * @param late resolves when that has happened, or can't happen any more
   */
  add(key: string, verdict: Verdict | undefined, late: Promise<void>): void {
    const owed = { verdict };
    const all = this.#byKey.get(key) ?? new Set();
    this.#byKey.set(key, all.add(owed));
    void late.then(() => {
      all.delete(owed);
      if (all.size === 0 && this.#byKey.get(key) === all) this.#byKey.delete(key);
    });
  }

  /** Whether something may still be carried out that undoes this verdict. */
  contradict(key: string, verdict: Verdict): boolean {
    return [...(this.#byKey.get(key) ?? [])].some((owed) => owed.verdict !== verdict);
  }
}

interface Owed {
  readonly verdict: Verdict | undefined;
}
