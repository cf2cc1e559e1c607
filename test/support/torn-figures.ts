import type { BaseVerdict as Verdict } from '../../src/verdict.ts';
import type { Statistics } from '../../src/trainers/trainer.ts';
import type { Chance } from './seed.ts';

/**
 * `/stat` as rspamd 3.4 shows it: each worker counts each class anew after 30 to 60 s, by timers of
 * their own, and whichever worker takes the connection answers. `learned` is shown at once.
 */
export class TornFigures {
  /** What Bayes holds now. */
  readonly held: Record<Verdict, number>;
  now = 0;
  learns = 0;
  readonly #chance: Chance;
  readonly #workers: readonly Record<Verdict, Shown>[];

  constructor(chance: Chance, held: Readonly<Record<Verdict, number>>, workers = 1) {
    this.#chance = chance;
    this.held = { ...held };
    this.#workers = Array.from({ length: workers }, () => ({
      spam: { figure: held.spam, next: this.#untilNext() },
      ham: { figure: held.ham, next: this.#untilNext() },
    }));
  }

  /** Learns messages, turned ones that Bayes held in the other class among them. */
  learn(verdict: Verdict, count: number, turned = 0): void {
    this.held[verdict] += count;
    this.held[verdict === 'spam' ? 'ham' : 'spam'] -= turned;
    this.learns += count;
  }

  flush(): void {
    this.held.spam = 0;
    this.held.ham = 0;
  }

  /** Lets time pass. */
  pass(ms: number): void {
    this.now += ms;
    for (const worker of this.#workers) {
      for (const verdict of ['spam', 'ham'] as const) {
        const shown = worker[verdict];
        if (shown.next > this.now) continue;
        shown.figure = this.held[verdict];
        shown.next = this.now + this.#untilNext();
      }
    }
  }

  look(): Statistics {
    const { spam, ham } = this.#chance.pick(this.#workers);
    return {
      hasBackend: true,
      learned: { spam: spam.figure, ham: ham.figure },
      learns: this.learns,
      uptimeSeconds: 3_600 + this.now / 1_000,
    };
  }

  #untilNext(): number {
    return 30_000 + this.#chance.below(30_000);
  }
}

interface Shown {
  figure: number;
  next: number;
}
