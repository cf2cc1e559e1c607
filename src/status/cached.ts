import type { Clock } from '../clock.ts';

/** How many milliseconds an answer is good for that took `tookMs` to get. */
export type Freshness<T> = (value: T, tookMs: number) => number;

/**
 * The last answer to a question that costs something. While it is under way it serves all who ask,
 * and afterwards for as long as it is fresh. An error serves those who asked, and nobody after them.
 */
export class Cached<T> {
  readonly #clock: Clock;
  readonly #ask: () => Promise<T>;
  #answer: Promise<T> | undefined;
  /** `undefined` while the answer is under way. */
  #isFresh: ((freshMs: Freshness<T>) => boolean) | undefined;

  constructor(clock: Clock, ask: () => Promise<T>) {
    this.#clock = clock;
    this.#ask = ask;
  }

  get(freshMs: Freshness<T>): Promise<T> {
    if (this.#answer !== undefined && this.#isFresh?.(freshMs) !== false) return this.#answer;
    this.#isFresh = undefined;
    const startedAt = this.#clock.monotonic();
    this.#answer = this.#ask();
    this.#answer.then(
      (value) => {
        const endedAt = this.#clock.monotonic();
        this.#isFresh = (freshMs) =>
          this.#clock.monotonic() < endedAt + freshMs(value, endedAt - startedAt);
      },
      () => {
        this.#answer = undefined;
      },
    );
    return this.#answer;
  }
}
