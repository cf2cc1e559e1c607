import { knownOf } from '../trainers/trainer.ts';
import type { Statistics } from '../trainers/trainer.ts';
import type { Verdict } from '../verdict.ts';

/**
 * Learn counts: how many learned messages of each class one controller showed in `/stat`, and what
 * can be told from that for certain.
 *
 * No count is of now: rspamd 3.4 refreshes each class after 30 to 60 s, one after the other, and each
 * of its workers by itself, so that the next sample may show an older count (3.12 and 4.1: every 24 to
 * 30 s). Certain is only that no count is older than `COUNT_AGE_MS`, and how many learns rspamd
 * acknowledged meanwhile, which it shows at once.
 */
export const COUNT_AGE_MS = 62_000;
const KEPT_MS = 600_000;
/** Fewer learned messages that are gone are not told. */
const FEW = 10;
const FEW_PART = 0.01;
/** With three classes rspamd 4.1.5 takes a turned message from the count of the third one as well. */
const FEW_PART_OF_THREE = 0.5;

/** What one answer of `/stat` showed. */
interface CountSample {
  readonly learned: Readonly<Record<Verdict, number>>;
  /** When, on the monotonic clock. */
  readonly at: number;
  /** Learns that were acknowledged until then, whoever asked for them. */
  readonly learns: number;
}

export class LearnCounts {
  #samples: readonly CountSample[] = [];
  /** So many were learned for certain. */
  #sure = 0;
  #missingSince: number | undefined;

  /** So many were learned when it was last seen, before this process. */
  recall(sum: number): void {
    this.#sure = Math.max(this.#sure, sum);
  }

  /**
   * Adds a sample. Samples reach back ten minutes at most, and to the controller's last start.
   * @param learns acknowledged learns of all controllers that share the memory
   * @returns how many learned messages are newly seen to be missing; 0 when none are
   */
  observe({ learned, uptimeSeconds = Infinity }: Statistics, now: number, learns: number): number {
    const last = this.#samples.at(-1);
    // What it had acknowledged before a crash it may have forgotten.
    const isAnother =
      last !== undefined && (now - uptimeSeconds * 1_000 > last.at || learns < last.learns);
    const kept = isAnother ? [] : this.#samples.filter(({ at }) => at >= now - KEPT_MS);
    if (learned.spam === undefined || learned.ham === undefined) {
      this.#samples = kept;
      return 0;
    }
    const sample = { at: now, learned: knownOf(learned), learns };
    this.#samples = [...kept, sample];
    return this.#missing(sample);
  }

  /**
   * True when every learn that was acknowledged between two moments is certain to be stored. A turned
   * verdict takes from one class what it gives to the other. For about a minute after `until` it can't
   * be told, nor where samples don't reach back to a minute before `from`.
   */
  shows(from: number, until: number): boolean {
    const first = this.#lastUntil(from - COUNT_AGE_MS);
    const end = this.#samples.find(({ at }) => at >= until + COUNT_AGE_MS);
    const before = this.#samples.filter(({ at }) => at > from - COUNT_AGE_MS && at <= from);
    if (first === undefined || end === undefined || before.length === 0) return false;
    const learns = end.learns - first.learns;
    const gains = Object.entries(end.learned).map(
      ([verdict, count]) => count - Math.max(...before.map((each) => each.learned[verdict] ?? 0)),
    );
    const gained = gains.reduce((sum, gain) => sum + Math.max(0, gain), 0);
    return learns > 0 && gained >= learns;
  }

  /**
   * True when none of ten learns is counted that were acknowledged a minute ago or earlier: Bayes goes on
   * to be empty. On a Redis cluster rspamd 3.4 may answer 200, then 208, and store nothing else.
   */
  get isHollow(): boolean {
    const first = this.#samples[this.#samples.findLastIndex((each) => sumOf(each) > 0) + 1];
    const last = this.#samples.at(-1);
    const old = last && this.#lastUntil(last.at - COUNT_AGE_MS);
    if (first === undefined || old === undefined) return false;
    return old.learns - first.learns >= FEW;
  }

  /**
   * How many are missing: the sum of all classes, which a turned verdict keeps, falls.
   *
   * The counts of the classes are not of one moment. After 60 turned verdicts rspamd 3.4 showed
   * [300,300], [300,360] and, half a minute later, [240,360]. So two bounds are compared, which the
   * learns of the last minute set apart: at least so many were learned, at most so many are left.
   */
  #missing(now: CountSample): number {
    const oldest = this.#lastUntil(now.at - COUNT_AGE_MS);
    if (oldest === undefined) return 0;
    const samples = this.#samples.slice(this.#samples.indexOf(oldest));
    const learns = now.learns - oldest.learns;
    const least = Math.min(...samples.map(sumOf)) - learns;
    this.#sure = Math.max(this.#sure, least);
    const missing = this.#sure - (sumOf(now) + learns);
    const part = Object.keys(now.learned).length > 2 ? FEW_PART_OF_THREE : FEW_PART;
    if (missing <= Math.max(FEW, this.#sure * part)) {
      this.#missingSince = undefined;
      return 0;
    }
    // Somebody else may have turned verdicts, which show in one class first.
    this.#missingSince ??= now.at;
    if (now.at - this.#missingSince < COUNT_AGE_MS) return 0;
    this.#sure = least;
    return missing;
  }

  #lastUntil(moment: number): CountSample | undefined {
    return this.#samples.findLast(({ at }) => at <= moment);
  }
}

function sumOf({ learned }: CountSample): number {
  return Object.values(learned).reduce((sum, count) => sum + count, 0);
}
