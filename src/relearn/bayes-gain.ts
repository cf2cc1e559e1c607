import { sleep } from '../clock.ts';
import type { Clock } from '../clock.ts';
import { COUNT_AGE_MS } from '../delivery/learn-counts.ts';
import type { Statistics, Trainer } from '../trainers/trainer.ts';
import { VERDICTS } from '../verdict.ts';
import { sumOf } from './stats.ts';
import type { CountByVerdict } from './stats.ts';

/**
 * What Bayes gained by a run, by its own count: the last proof, and the only one that an outage
 * which answered "learned" to everything can't forge. The controllers share one store, so any of
 * them tells.
 *
 * rspamd's count may be a minute old, and many a run begins right after Bayes was emptied: then the
 * count of the beginning is too high. So a lack is told only against what is certain: that Bayes held
 * nothing or more before the run, and, in a run that lasts, what it held a minute after the beginning.
 */
export interface Gain {
  /** What rspamd said of Bayes before and says now; `undefined` where it didn't tell. */
  readonly before: CountByVerdict | undefined;
  readonly after: CountByVerdict | undefined;
  /** `undefined` where the two can't be compared. */
  readonly gained: CountByVerdict | undefined;
  /** How many of the learned messages Bayes' count lacks for certain, when they are more than a few. */
  readonly missing: number;
  /** How many it lacks, few or not, as far as that can be told. */
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

export interface BayesGainOptions {
  readonly trainers: readonly Trainer[];
  readonly clock: Clock;
  /** How many of the messages that are learned at the end may have been posted by now, at most. */
  readonly postedSoFar: () => CountByVerdict;
}

/** What Bayes held when at most so many of the learned messages had been posted. */
interface Base {
  readonly held: CountByVerdict;
  readonly posted: CountByVerdict;
}

/** It can't have held less. */
const EMPTY: Base = from({ spam: 0, ham: 0 });
const POLL_MS = 500;
const ANSWER_MS = 2_000;
/** Up to this part of the learned messages may be missing: a flip, a token hash that another has. */
const TOLERANCE = 0.02;

export class BayesGain {
  readonly #options: BayesGainOptions;
  readonly #closing = new AbortController();
  #before: Base | undefined;
  #begunAt: number | undefined;
  #fresh: Base | undefined;

  constructor(options: BayesGainOptions) {
    this.#options = options;
  }

  /** Notes what Bayes holds before anything is learned; where rspamd is away, once it tells. */
  async begin(signal: AbortSignal): Promise<void> {
    this.#begunAt = this.#options.clock.monotonic();
    const held = await this.#ask(signal);
    if (held !== undefined) this.#before = from(held);
    void this.#findBases(this.#begunAt);
  }

  /** Waits until Bayes' count shows what was learned, or can't be older than that. */
  async end({ learned, wantsFresh, stop }: GainQuestion): Promise<Gain> {
    this.close();
    const { clock } = this.#options;
    const now = clock.monotonic();
    const isFreshAt = (this.#begunAt ?? now) + COUNT_AGE_MS;
    const isFinalAt = now + COUNT_AGE_MS;
    for (;;) {
      const after = await this.#askShortly();
      const grew =
        this.#before === undefined ||
        (after !== undefined && lackSince(this.#before, after, learned) === 0);
      const isEnough = grew && (!wantsFresh || clock.monotonic() >= isFreshAt);
      const isFinal = clock.monotonic() >= isFinalAt;
      if (isEnough || isFinal || stop.aborted) {
        return this.#gain(after, learned, isFinal, isEnough || isFinal);
      }
      await sleep(clock, POLL_MS, stop);
    }
  }

  /** The run is over. Idempotent. */
  close(): void {
    this.#closing.abort();
  }

  #gain(
    after: CountByVerdict | undefined,
    learned: CountByVerdict,
    isFinal: boolean,
    confirmed: boolean,
  ): Gain {
    const before = this.#before?.held;
    if (after === undefined) {
      return { before, after, gained: undefined, missing: 0, lack: 0, confirmed };
    }
    const few = sumOf(learned) * TOLERANCE;
    const bases = this.#fresh === undefined ? [EMPTY] : [EMPTY, this.#fresh];
    const lacks = bases.map((base) => lackSince(base, after, learned));
    const certain = isFinal ? Math.max(...lacks) : 0;
    const missing = certain > few ? certain : 0;
    if (before !== undefined && this.#before !== undefined) {
      const gained = { spam: after.spam - before.spam, ham: after.ham - before.ham };
      const lack = lackSince(this.#before, after, learned);
      // Nothing that is learned makes the sum fall: a turned verdict keeps it.
      if (sumOf(gained) >= -few && (!confirmed || lack <= few)) {
        return { before, after, gained, missing, lack: Math.max(certain, lack), confirmed };
      }
    }
    return { before, after, gained: undefined, missing, lack: certain, confirmed };
  }

  /** And, in a run that lasts, what Bayes holds when its count can't be from before the run any more. */
  async #findBases(begunAt: number): Promise<void> {
    const { clock } = this.#options;
    this.#before ??= await this.#nextBase();
    await sleep(clock, begunAt + COUNT_AGE_MS - clock.monotonic(), this.#closing.signal);
    this.#fresh = await this.#nextBase();
  }

  /** Asks until rspamd tells; `undefined` when the run is over before. */
  async #nextBase(): Promise<Base | undefined> {
    const { clock, postedSoFar } = this.#options;
    for (;;) {
      const held = await this.#askShortly();
      if (this.#closing.signal.aborted) return undefined;
      if (held !== undefined) return { held, posted: postedSoFar() };
      await sleep(clock, POLL_MS, this.#closing.signal);
    }
  }

  /** Asks a controller that may hang. */
  async #askShortly(): Promise<CountByVerdict | undefined> {
    const abort = new AbortController();
    const timer = this.#options.clock.after(ANSWER_MS, () => {
      abort.abort();
    });
    try {
      return await this.#ask(abort.signal);
    } finally {
      timer.cancel();
    }
  }

  async #ask(signal: AbortSignal): Promise<CountByVerdict | undefined> {
    for (const trainer of this.#options.trainers) {
      const counts = countsOf(await trainer.statistics(signal));
      if (counts !== undefined) return counts;
    }
    return undefined;
  }
}

/** What Bayes held before anything was posted. */
function from(held: CountByVerdict): Base {
  return { held, posted: { spam: 0, ham: 0 } };
}

/**
 * How many of the messages that were posted after the base the count lacks. A turned verdict takes
 * from the other class what it gives to its own, so each class may shrink.
 */
function lackSince(base: Base, after: CountByVerdict, learned: CountByVerdict): number {
  return VERDICTS.reduce((sum, verdict) => {
    const gained = Math.max(0, after[verdict] - base.held[verdict]);
    return sum + Math.max(0, learned[verdict] - base.posted[verdict] - gained);
  }, 0);
}

function countsOf(statistics: Statistics | undefined): CountByVerdict | undefined {
  const spam = statistics?.learned.spam;
  const ham = statistics?.learned.ham;
  return spam === undefined || ham === undefined ? undefined : { spam, ham };
}
