import type { Verdict } from '../verdict.ts';
import type { Statistics } from '../trainers/trainer.ts';

/**
 * What one controller showed of its revisions, the number of learned messages of each class, and
 * what can be told from that for certain.
 *
 * No figure is of now: rspamd 3.4 counts each class anew after 30 to 60 s, one after the other, and
 * each of its workers by itself, so that the next look may show an older figure (3.12 and 4.1: every
 * 24 to 30 s). Certain is only that none is older than `REVISION_AGE_MS`, and how many learns rspamd
 * acknowledged meanwhile, which it shows at once.
 */
export const REVISION_AGE_MS = 62_000;
const KEPT_MS = 600_000;

/** What one look showed. */
export interface Look extends Readonly<Record<Verdict, number>> {
  /** When, on the monotonic clock. */
  readonly at: number;
  /** Learns that were acknowledged until then, whoever asked for them. */
  readonly learns: number;
}

export class RevisionWatch {
  #looks: readonly Look[] = [];

  /**
   * Notes what was just shown. The other questions reach back as far as looks do, ten minutes at
   * most, and to the controller's last start.
   * @param learns acknowledged learns of all controllers that share the memory
   */
  observe(statistics: Statistics, now: number, learns = statistics.learns ?? 0): void {
    const { learned, uptimeSeconds = Infinity } = statistics;
    const last = this.#looks.at(-1);
    // What it had acknowledged before a crash it may have forgotten.
    const isAnother =
      last !== undefined && (now - uptimeSeconds * 1_000 > last.at || learns < last.learns);
    const kept = isAnother ? [] : this.#looks.filter(({ at }) => at >= now - KEPT_MS);
    const { spam, ham } = learned;
    const isShown = spam !== undefined && ham !== undefined;
    this.#looks = isShown ? [...kept, { at: now, spam, ham, learns }] : kept;
  }

  /**
   * The looks within the age of a figure, newest last, and the learns that the newest may show of one
   * class and not yet of the other; `undefined` where looks don't reach back so far.
   */
  recent():
    { readonly looks: readonly Look[]; readonly now: Look; readonly learns: number } | undefined {
    const now = this.#looks.at(-1);
    if (now === undefined) return undefined;
    const oldest = this.#lastUntil(now.at - REVISION_AGE_MS);
    if (oldest === undefined) return undefined;
    const looks = this.#looks.slice(this.#looks.indexOf(oldest));
    return { looks, now, learns: now.learns - oldest.learns };
  }

  /**
   * What each class gained by the learns between two moments, and how many learns were acknowledged
   * in the time that this may cover, by anybody. A turned verdict takes from one class what it gives
   * to the other.
   * @returns `undefined` while that can't be told: for about a minute after `until`, and where looks
   *   don't reach back to a minute before `from`
   */
  gained(from: number, until: number): Gained | undefined {
    const first = this.#lastUntil(from - REVISION_AGE_MS);
    const end = this.#looks.find(({ at }) => at >= until + REVISION_AGE_MS);
    const before = this.#looks.filter(({ at }) => at > from - REVISION_AGE_MS && at <= from);
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

  #lastUntil(moment: number): Look | undefined {
    return this.#looks.findLast(({ at }) => at <= moment);
  }
}

export interface Gained extends Readonly<Record<Verdict, number>> {
  readonly learns: number;
}
