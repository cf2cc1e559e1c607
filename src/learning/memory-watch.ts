import { VERDICTS } from '../verdict.ts';
import { REVISION_AGE_MS } from './revision-watch.ts';
import type { Look, RevisionWatch } from './revision-watch.ts';

/**
 * Notices when a controller has forgotten what it learned: the sum of both classes, which a turned
 * verdict keeps, falls by more than 1 % and 10.
 *
 * The classes' figures are not of one moment. After 60 turned verdicts rspamd 3.4 showed [300,300],
 * [300,360] and, half a minute later, [240,360]. So two bounds are compared, which the learns of the
 * last minute set apart: at least so many were learned, at most so many are left.
 */
export class MemoryWatch {
  readonly #revisions: RevisionWatch;
  /** So many were learned for certain. */
  #sure = 0;
  #missingSince: number | undefined;

  constructor(revisions: RevisionWatch) {
    this.#revisions = revisions;
  }

  /** @returns how many learned messages are newly seen to be missing; 0 when none are */
  look(): number {
    const recent = this.#revisions.recent();
    if (recent === undefined) return 0;
    const { looks, now, learns } = recent;
    const least = Math.min(...looks.map(sumOf)) - learns;
    this.#sure = Math.max(this.#sure, least);
    const missing = this.#sure - (sumOf(now) + learns);
    if (missing <= Math.max(10, this.#sure / 100)) {
      this.#missingSince = undefined;
      return 0;
    }
    const since = (this.#missingSince ??= now.at);
    const before = looks.filter(({ at }) => at < since);
    if (isHalf(now, before) && now.at - since < REVISION_AGE_MS) return 0;
    this.#sure = least;
    return missing;
  }
}

/** Somebody else may have turned verdicts, and one class's figure be from before that. */
function isHalf(now: Look, before: readonly Look[]): boolean {
  return VERDICTS.some(
    (verdict) => now[verdict] > 0 && before.some((look) => look[verdict] === now[verdict]),
  );
}

function sumOf({ spam, ham }: Look): number {
  return spam + ham;
}
