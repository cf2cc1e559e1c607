import { VERDICTS } from '../verdict.ts';
import { COUNT_AGE_MS } from './learn-counts.ts';
import type { CountSample, LearnCounts } from './learn-counts.ts';

/**
 * Notices when a controller has forgotten what it learned: the sum of both classes, which a turned
 * verdict keeps, falls by more than 1 % and 10.
 *
 * The counts of the classes are not of one moment. After 60 turned verdicts rspamd 3.4 showed [300,300],
 * [300,360] and, half a minute later, [240,360]. So two bounds are compared, which the learns of the
 * last minute set apart: at least so many were learned, at most so many are left.
 */
export class LearnCountMonitor {
  readonly #counts: LearnCounts;
  /** So many were learned for certain. */
  #sure = 0;
  #missingSince: number | undefined;

  constructor(counts: LearnCounts) {
    this.#counts = counts;
  }

  /** @returns how many learned messages are newly seen to be missing; 0 when none are */
  check(): number {
    const recent = this.#counts.recent();
    if (recent === undefined) return 0;
    const { samples, now, learns } = recent;
    const least = Math.min(...samples.map(sumOf)) - learns;
    this.#sure = Math.max(this.#sure, least);
    const missing = this.#sure - (sumOf(now) + learns);
    if (missing <= Math.max(10, this.#sure / 100)) {
      this.#missingSince = undefined;
      return 0;
    }
    const since = (this.#missingSince ??= now.at);
    const before = samples.filter(({ at }) => at < since);
    if (isHalf(now, before) && now.at - since < COUNT_AGE_MS) return 0;
    this.#sure = least;
    return missing;
  }
}

/** Somebody else may have turned verdicts, and one class's figure be from before that. */
function isHalf(now: CountSample, before: readonly CountSample[]): boolean {
  return VERDICTS.some(
    (verdict) => now[verdict] > 0 && before.some((sample) => sample[verdict] === now[verdict]),
  );
}

function sumOf({ spam, ham }: CountSample): number {
  return spam + ham;
}
