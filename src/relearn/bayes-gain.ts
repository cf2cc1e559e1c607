import { sleep, systemClock } from '../clock.ts';
import type { Clock } from '../clock.ts';
import { COUNT_AGE_MS } from '../delivery/learn-counts.ts';
import { knownOf } from '../trainers/trainer.ts';
import type { Trainer } from '../trainers/trainer.ts';
import { classesOf, ofClass, perClass } from '../verdict.ts';
import { sumOf } from './stats.ts';
import type { CountByVerdict, RunStats } from './stats.ts';

/**
 * What Bayes gained by a run, by its own count: the last proof, and the only one that an outage which
 * answered "learned" to everything can't forge. The controllers share one store, so any of them tells.
 *
 * rspamd's count may be a minute old, and many a run begins right after Bayes was emptied: the count
 * of the beginning is then too high, and what was learned is held against an empty store instead.
 */
export interface Gain {
  /** What rspamd said of Bayes before and says now; `undefined` where it didn't tell. */
  readonly before: CountByVerdict | undefined;
  readonly after: CountByVerdict | undefined;
  /** `undefined` where the two can't be compared. */
  readonly gained: CountByVerdict | undefined;
  /** How many of the learned messages Bayes' count lacks, when they are more than a few. */
  readonly missing: number;
  /** False when the count may be older than what was learned: the wait for it was cut short. */
  readonly confirmed: boolean;
}

const POLL_MS = 500;
const ANSWER_MS = 5_000;
/** Up to this part of the learned messages may be missing: a token hash that another one has. */
const TOLERANCE = 0.02;
/** Bayes counts real mail up to 5 % higher than it was learned: a store with more held some before. */
const LARGEST_COUNT = 1.1;
const EMPTY: CountByVerdict = { spam: 0, ham: 0 };
const NOTHING = { spam: undefined, ham: undefined };

/** How much Bayes holds; `undefined` where rspamd doesn't tell within five seconds. */
async function bayesCounts(trainers: readonly Trainer[]): Promise<CountByVerdict | undefined> {
  for (const trainer of trainers) {
    const statistics = await trainer.statistics?.(AbortSignal.timeout(ANSWER_MS));
    const { spam, ham, ...further } = statistics?.learned ?? NOTHING;
    if (spam !== undefined && ham !== undefined)
      return { ...knownOf({ ...further, spam, ham }), spam, ham };
  }
  return undefined;
}

/** Asks for Bayes' count before a run. @returns what asks for the gain after it */
export async function bayesBefore(
  trainers: readonly Trainer[],
  clock: Clock = systemClock,
): Promise<(stats: RunStats, stop: AbortSignal) => Promise<Gain>> {
  const before = await bayesCounts(trainers);
  const beganAt = clock.monotonic();
  /**
   * Waits until Bayes' count shows what was learned, or can't be older than that.
   * @param stop ends the wait; aborted already, what rspamd says at once counts
   */
  return async (stats, stop) => {
    const finalAt = clock.monotonic() + COUNT_AGE_MS;
    for (;;) {
      const after = await bayesCounts(trainers);
      const now = clock.monotonic();
      // Where all is known, the count tells whether that is true: it must not be from before the run.
      const isFresh = !stats.isNearlyAllKnown || now >= beganAt + COUNT_AGE_MS;
      const isShown =
        after === undefined
          ? before === undefined
          : lackOf(stats.counts.learned, before ?? EMPTY, after, EMPTY) === 0;
      const isFinal = now >= finalAt;
      const confirmed = isFinal || (isShown && isFresh);
      if (confirmed || stop.aborted) {
        return { before, after, ...compare(stats, before, after, isFinal), confirmed };
      }
      await sleep(clock, POLL_MS, stop);
    }
  };
}

function compare(
  { counts: { learned }, unproven }: RunStats,
  before: CountByVerdict | undefined,
  after: CountByVerdict | undefined,
  isFinal: boolean,
): Pick<Gain, 'gained' | 'missing'> {
  if (after === undefined) return { gained: undefined, missing: 0 };
  // Fewer than those that have no proof.
  const few = unproven > 0 ? unproven - 1 : sumOf(learned) * TOLERANCE;
  const missingSince = (base: CountByVerdict, flips: CountByVerdict): number => {
    const lack = isFinal ? lackOf(learned, base, after, flips) : 0;
    return lack > few ? lack : 0;
  };
  const mayHaveBeenEmpty = sumOf(after) <= sumOf(learned) * LARGEST_COUNT;
  const isComparable =
    before !== undefined &&
    // Nothing that is learned makes the sum fall: a turned verdict keeps it.
    sumOf(after) >= sumOf(before) - few &&
    !(mayHaveBeenEmpty && missingSince(before, EMPTY) > 0);
  if (!isComparable) return { gained: undefined, missing: missingSince(EMPTY, EMPTY) };
  const gained = perClass(
    classesOf(after),
    (verdict) => ofClass(after, verdict) - (before[verdict] ?? 0),
  );
  return { gained, missing: missingSince(before, before) };
}

/**
 * How many of the learned messages the count lacks. A turned verdict takes from another class what
 * it gives to its own. Of a class that rspamd doesn't count nothing is told.
 * @param turnable so many messages of each class may have been turned to another one
 */
function lackOf(
  learned: CountByVerdict,
  before: CountByVerdict,
  after: CountByVerdict,
  turnable: CountByVerdict,
): number {
  return Object.entries(after).reduce((sum, [verdict, now]) => {
    const own = learned[verdict] ?? 0;
    const gained = Math.max(0, now - (before[verdict] ?? 0));
    const turned = Math.min(turnable[verdict] ?? 0, sumOf(learned) - own);
    return sum + Math.max(0, own - gained - turned);
  }, 0);
}
