import type { Statistics } from '../trainers/trainer.ts';

/**
 * Notices when a controller has forgotten what it learned: the sum of both classes, which a flip
 * keeps, falls by more than 1 % and 10.
 */
export class MemoryWatch {
  /** rspamd refreshes its figures every 30 to 60 s, and shows none just after its start. */
  static readonly #youngestSeconds = 60;
  #last: number | undefined;

  /** @returns how many learned messages are missing since the last look; 0 when none are */
  observe(statistics: Statistics): number {
    const { spam, ham } = statistics.learned;
    const isYoung = (statistics.uptimeSeconds ?? 0) < MemoryWatch.#youngestSeconds;
    if (spam === undefined || ham === undefined || isYoung) return 0;
    const before = this.#last ?? 0;
    this.#last = spam + ham;
    const missing = before - this.#last;
    return missing > Math.max(10, before / 100) ? missing : 0;
  }
}
