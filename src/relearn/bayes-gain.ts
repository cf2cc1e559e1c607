import { sleep } from '../clock.ts';
import type { Clock } from '../clock.ts';
import { VERDICTS } from '../spool/message.ts';
import type { Verdict } from '../spool/message.ts';
import type { Statistics, Trainer } from '../trainers/trainer.ts';
import type { CountByVerdict } from './account.ts';

/**
 * What Bayes gained by a run, by its own count: the last proof, and the only one that an outage
 * which answered "learned" to everything can't forge. The controllers share one store, so any of
 * them tells.
 */
export interface Gain {
  /** What Bayes held before and holds now; `undefined` where rspamd didn't tell. */
  readonly before: CountByVerdict | undefined;
  readonly after: CountByVerdict | undefined;
  readonly gained: CountByVerdict | undefined;
  /** How many of the learned messages Bayes' count lacks, when they are more than a few. */
  readonly missing: number;
  /** How many it lacks, few or not. */
  readonly lack: number;
  /** False when the count may be older than what was learned: the wait for it was cut short. */
  readonly confirmed: boolean;
}

/** What a run came to, and how patient its end is. */
export interface GainQuestion {
  readonly learned: CountByVerdict;
  /** The count decides more than whether anything is missing: it must not be from before the run. */
  readonly wantsFresh: boolean;
  /** Ends the wait; aborted already, what rspamd says at once counts. */
  readonly stop: AbortSignal;
}

/** rspamd 3.4 counts each class anew after 30 to 60 s (seen: 38, 49, 52 and 60 s). */
const REFRESH_MS = 62_000;
const POLL_MS = 500;
const ANSWER_MS = 2_000;
/** Up to this part of the learned messages may be missing: a flip, a token hash that another has. */
const TOLERANCE = 0.02;

export class BayesGain {
  readonly #trainers: readonly Trainer[];
  readonly #clock: Clock;
  #before: CountByVerdict | undefined;
  #begunAt: number | undefined;

  constructor(trainers: readonly Trainer[], clock: Clock) {
    this.#trainers = trainers;
    this.#clock = clock;
  }

  /** Notes what Bayes holds before anything is learned; repeated until rspamd tells. */
  async begin(signal: AbortSignal): Promise<void> {
    this.#begunAt ??= this.#clock.monotonic();
    this.#before ??= await this.#ask(signal);
  }

  /** Waits until Bayes' count shows what was learned, or can't be older than that. */
  async end({ learned, wantsFresh, stop }: GainQuestion): Promise<Gain> {
    const now = this.#clock.monotonic();
    const isFreshAt = (this.#begunAt ?? now) + REFRESH_MS;
    const isFinalAt = now + REFRESH_MS;
    for (;;) {
      const after = await this.#askShortly();
      const grew =
        this.#before === undefined ||
        (after !== undefined && hasGrown(after, this.#before, learned));
      const isEnough = grew && (!wantsFresh || this.#clock.monotonic() >= isFreshAt);
      const isFinal = this.#clock.monotonic() >= isFinalAt;
      if (isEnough || isFinal || stop.aborted) {
        return gainOf(this.#before, after, learned, isEnough || isFinal);
      }
      await sleep(this.#clock, POLL_MS, stop);
    }
  }

  /** Asks a controller that may hang. */
  async #askShortly(): Promise<CountByVerdict | undefined> {
    const abort = new AbortController();
    const timer = this.#clock.after(ANSWER_MS, () => {
      abort.abort();
    });
    try {
      return await this.#ask(abort.signal);
    } finally {
      timer.cancel();
    }
  }

  async #ask(signal: AbortSignal): Promise<CountByVerdict | undefined> {
    for (const trainer of this.#trainers) {
      const counts = countsOf(await trainer.statistics(signal));
      if (counts !== undefined) return counts;
    }
    return undefined;
  }
}

function gainOf(
  before: CountByVerdict | undefined,
  after: CountByVerdict | undefined,
  learned: CountByVerdict,
  confirmed: boolean,
): Gain {
  if (before === undefined || after === undefined) {
    return { before, after, gained: undefined, missing: 0, lack: 0, confirmed };
  }
  const base = confirmed ? withoutWiped(before, after, learned) : before;
  const gained = difference(after, base);
  // A turned verdict takes from the other class what it gives to its own, so each class may shrink.
  const lack = VERDICTS.reduce(
    (sum, verdict) => sum + Math.max(0, learned[verdict] - Math.max(0, gained[verdict])),
    0,
  );
  const isMissing = confirmed && lack > (learned.spam + learned.ham) * TOLERANCE;
  return { before: base, after, gained, missing: isMissing ? lack : 0, lack, confirmed };
}

function hasGrown(after: CountByVerdict, before: CountByVerdict, learned: CountByVerdict): boolean {
  return VERDICTS.every(
    (verdict) => learned[verdict] === 0 || after[verdict] - before[verdict] >= learned[verdict],
  );
}

/**
 * What Bayes really held before. Its count may have been up to a minute old then, and Bayes have
 * been wiped in that time, which is what many a run begins with: a class that holds just what was
 * learned held nothing.
 */
function withoutWiped(
  before: CountByVerdict,
  after: CountByVerdict,
  learned: CountByVerdict,
): CountByVerdict {
  const real = (verdict: Verdict): number => {
    const isWiped =
      after[verdict] - before[verdict] < learned[verdict] &&
      Math.abs(after[verdict] - learned[verdict]) <= learned[verdict] * TOLERANCE;
    return isWiped ? 0 : before[verdict];
  };
  return { spam: real('spam'), ham: real('ham') };
}

function countsOf(statistics: Statistics | undefined): CountByVerdict | undefined {
  const spam = statistics?.learned.spam;
  const ham = statistics?.learned.ham;
  return spam === undefined || ham === undefined ? undefined : { spam, ham };
}

function difference(after: CountByVerdict, before: CountByVerdict): CountByVerdict {
  return { spam: after.spam - before.spam, ham: after.ham - before.ham };
}
