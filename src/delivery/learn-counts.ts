import type { Verdict } from '../verdict.ts';
import type { Statistics } from '../trainers/trainer.ts';

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

/** What one answer of `/stat` showed. */
export interface CountSample extends Readonly<Record<Verdict, number>> {
  /** When, on the monotonic clock. */
  readonly at: number;
  /** Learns that were acknowledged until then, whoever asked for them. */
  readonly learns: number;
}

export class LearnCounts {
  #samples: readonly CountSample[] = [];

  /**
   * Adds a sample. Samples reach back ten minutes at most, and to the controller's last start.
   * @param learns acknowledged learns of all controllers that share the memory
   */
  observe(statistics: Statistics, now: number, learns = statistics.learns ?? 0): void {
    const { learned, uptimeSeconds = Infinity } = statistics;
    const last = this.#samples.at(-1);
    // What it had acknowledged before a crash it may have forgotten.
    const isAnother =
      last !== undefined && (now - uptimeSeconds * 1_000 > last.at || learns < last.learns);
    const kept = isAnother ? [] : this.#samples.filter(({ at }) => at >= now - KEPT_MS);
    const { spam, ham } = learned;
    const isShown = spam !== undefined && ham !== undefined;
    this.#samples = isShown ? [...kept, { at: now, spam, ham, learns }] : kept;
  }

  /**
   * The samples within the age of a count, newest last, and the learns that the newest may show of one
   * class and not yet of the other; `undefined` where samples don't reach back so far.
   */
  recent():
    | {
        readonly samples: readonly CountSample[];
        readonly now: CountSample;
        readonly learns: number;
      }
    | undefined {
    const now = this.#samples.at(-1);
    if (now === undefined) return undefined;
    const oldest = this.#lastUntil(now.at - COUNT_AGE_MS);
    if (oldest === undefined) return undefined;
    const samples = this.#samples.slice(this.#samples.indexOf(oldest));
    return { samples, now, learns: now.learns - oldest.learns };
  }

  /**
   * What each class gained by the learns between two moments, and how many learns were acknowledged
   * in the time that this may cover, by anybody. A turned verdict takes from one class what it gives
   * to the other.
   * @returns `undefined` while that can't be told: for about a minute after `until`, and where samples
   *   don't reach back to a minute before `from`
   */
  gained(from: number, until: number): Gained | undefined {
    const first = this.#lastUntil(from - COUNT_AGE_MS);
    const end = this.#samples.find(({ at }) => at >= until + COUNT_AGE_MS);
    const before = this.#samples.filter(({ at }) => at > from - COUNT_AGE_MS && at <= from);
    if (first === undefined || end === undefined || before.length === 0) return undefined;
    return {
      spam: end.spam - Math.max(...before.map(({ spam }) => spam)),
      ham: end.ham - Math.max(...before.map(({ ham }) => ham)),
      learns: end.learns - first.learns,
    };
  }

  /** True when every learn that was acknowledged between two moments is certain to be stored. */
  shows(from: number, until: number): boolean {
    const gained = this.gained(from, until);
    if (gained === undefined || gained.learns === 0) return false;
    return Math.max(0, gained.spam) + Math.max(0, gained.ham) >= gained.learns;
  }

  #lastUntil(moment: number): CountSample | undefined {
    return this.#samples.findLast(({ at }) => at <= moment);
  }
}

export interface Gained extends Readonly<Record<Verdict, number>> {
  readonly learns: number;
}
