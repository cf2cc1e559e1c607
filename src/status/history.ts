import { readFileSync, renameSync } from 'node:fs';
import type { Clock } from '../clock.ts';
import type { Ended } from '../delivery/events.ts';
import { errnoOf } from '../errors.ts';
import { FILTERS } from '../filter.ts';
import type { Filter } from '../filter.ts';
import type { Log } from '../logger.ts';
import type { StateDir } from '../spool/state-dir.ts';
import { writeSynced } from '../spool/durable.ts';
import { isClassName } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';

/**
 * What became of the judgements of each day, kept in the state dir over restarts. Days are local, in the
 * daemon's time zone. It is a memory aid: a kill loses what came since the file was last written, and no
 * message depends on it.
 */
export const HISTORY_FILE = 'history.json';
const BROKEN_FILE = 'history.broken.json';

/**
 * `turned`: a newer verdict overtook it, or it was learned in another class than the message had been
 * before.
 */
export const KINDS = ['learned', 'refused', 'turned'] as const;

/** A day of one class at one filter, on which something happened. */
interface DayCounts extends Readonly<Record<(typeof KINDS)[number], number>> {
  /** `2026-03-14`. */
  readonly day: string;
  readonly trainer: Filter;
  readonly verdict: Verdict;
}

/** `history` of `/status`. Times are ISO 8601, and `null` where there was none. */
export interface HistoryReport {
  readonly timeZone: string;
  readonly today: string;
  /** When the last message was taken out of the drop directory. */
  readonly lastInAt: string | null;
  readonly lastProofAt: string | null;
  /** The last 90 days, in order. */
  readonly days: readonly DayCounts[];
}

interface HistoryOptions {
  readonly stateDir: Pick<StateDir, 'root' | 'temporary'>;
  readonly clock: Clock;
  readonly log: Log;
}

const VERSION = 1;
const REPORTED_DAYS = 90;
const KEPT_DAYS = 400;
/** Where two filters or many classes are taught, fewer days may be kept. */
const MOST_BYTES = 100_000;
/** Of so many messages a verdict that turns after it was learned is noticed. */
const MOST_REMEMBERED = 10_000;

/** In the order of {@link KINDS}. */
type Counts = readonly [learned: number, refused: number, turned: number];
/** By filter and class: `rspamd spam`. */
type Day = Map<string, Counts>;

export class History {
  readonly #options: HistoryOptions;
  #isLoaded = false;
  #isChanged = false;
  readonly #days = new Map<string, Day>();
  #lastInAt: string | null = null;
  #lastProofAt: string | null = null;
  /** What each message was last learned as, the latest last. */
  readonly #learnedAs = new Map<string, Verdict>();

  constructor(options: HistoryOptions) {
    this.#options = options;
  }

  /** A message was taken out of the drop directory. */
  arrived(): void {
    this.#lastInAt = this.#now();
    this.#isChanged = true;
  }

  /** A message has ended at a filter. */
  ended(filter: Filter, { verdict, key, result, provenMs }: Ended): void {
    if (provenMs !== undefined) {
      this.#lastProofAt = this.#now();
      this.#isChanged = true;
    }
    const isLearned = result === 'learned' || result === 'duplicate';
    const turned = isLearned ? this.#turns(`${filter} ${key}`, verdict) : result === 'superseded';
    const [learned, refused] = [result === 'learned', result === 'refused'];
    if (!learned && !refused && !turned) return;
    const counts = [Number(learned), Number(refused), Number(turned)] as const;
    this.#add(dayOf(this.#options.clock.wall()), `${filter} ${verdict}`, counts);
    this.#isChanged = true;
  }

  get report(): HistoryReport {
    const today = dayOf(this.#options.clock.wall());
    const since = daysUntil(today, REPORTED_DAYS)[0] ?? today;
    const days = [...this.#days]
      .filter(([day]) => day >= since && day <= today)
      .sort(([a], [b]) => (a < b ? -1 : 1));
    return {
      timeZone: new Intl.DateTimeFormat().resolvedOptions().timeZone,
      today,
      lastInAt: this.#lastInAt,
      lastProofAt: this.#lastProofAt,
      days: days.flatMap(([day, counts]) => rowsOf(day, counts)),
    };
  }

  /**
   * Writes what has changed: whole, or not at all. Before that, what earlier processes wrote is read.
   * @throws the system's error for a disk fault; it is then still to be written
   */
  async save(): Promise<void> {
    const { root, temporary } = this.#options.stateDir;
    this.#load();
    if (!this.#isChanged) return;
    this.#isChanged = false;
    try {
      // No key begins with a dot: the reason of a message called "history" is made there, too.
      const fresh = await writeSynced(temporary, `.${HISTORY_FILE}`, this.#text());
      renameSync(fresh, root.at(HISTORY_FILE));
    } catch (error) {
      this.#isChanged = true;
      throw error;
    }
  }

  /** Adds what the file says to what happened since the start. */
  #load(): void {
    if (this.#isLoaded) return;
    const { stateDir, log } = this.#options;
    const place = stateDir.root.at(HISTORY_FILE);
    try {
      const { lastInAt, lastProofAt, days } = parse(readFileSync(place, 'utf8'));
      this.#lastInAt ??= lastInAt;
      this.#lastProofAt ??= lastProofAt;
      for (const [day, each] of days) for (const [of, counts] of each) this.#add(day, of, counts);
    } catch (error) {
      if (error instanceof SyntaxError) {
        renameSync(place, stateDir.root.at(BROKEN_FILE));
        const path = `${stateDir.root.path}/${BROKEN_FILE}`;
        const says = `the history by day (${HISTORY_FILE}) can't be read: it is set aside as ${path}, and begun anew`;
        log('warning', 'history.broken', says, { path });
      } else if (errnoOf(error) !== 'ENOENT') throw error;
    }
    this.#isLoaded = true;
  }

  /** As much as fits: the oldest days fall off. */
  #text(): string {
    const newest = [...this.#days.keys()].sort().reverse();
    for (let most = KEPT_DAYS; ; most = Math.floor(most * 0.9)) {
      for (const day of newest.splice(most)) this.#days.delete(day);
      const days = Object.fromEntries(
        newest.map((day) => [day, Object.fromEntries(this.#days.get(day) ?? [])]),
      );
      const [lastInAt, lastProofAt] = [this.#lastInAt, this.#lastProofAt];
      const text = `${JSON.stringify({ version: VERSION, lastInAt, lastProofAt, days })}\n`;
      if (text.length <= MOST_BYTES) return text;
    }
  }

  #add(day: string, of: string, more: Counts): void {
    const counts: Day = this.#days.get(day) ?? new Map<string, Counts>();
    this.#days.set(day, counts);
    const [learned, refused, turned] = counts.get(of) ?? [0, 0, 0];
    counts.set(of, [learned + more[0], refused + more[1], turned + more[2]]);
  }

  /** Whether a message was learned in another class before. */
  #turns(key: string, verdict: Verdict): boolean {
    const before = this.#learnedAs.get(key) ?? verdict;
    this.#learnedAs.delete(key);
    this.#learnedAs.set(key, verdict);
    const [oldest = key] = this.#learnedAs.keys();
    if (this.#learnedAs.size > MOST_REMEMBERED) this.#learnedAs.delete(oldest);
    return before !== verdict;
  }

  #now(): string {
    return new Date(this.#options.clock.wall()).toISOString();
  }
}

/** @throws {SyntaxError} for what is no history */
function parse(text: string) {
  const { version, lastInAt, lastProofAt, days } = entriesOf(JSON.parse(text));
  demand(version === VERSION);
  const parsed = Object.entries(entriesOf(days)).map(([day, counts]) => {
    demand(/^\d{4}-\d\d-\d\d$/.test(day));
    return [day, Object.entries(entriesOf(counts)).map(parseCounts)] as const;
  });
  return { lastInAt: parseTime(lastInAt), lastProofAt: parseTime(lastProofAt), days: parsed };
}

function parseCounts([of, counts]: [string, unknown]): [string, Counts] {
  const [filter, verdict = '', ...more] = of.split(' ');
  demand(FILTERS.some((each) => each === filter) && isClassName(verdict) && more.length === 0);
  demand(isCounts(counts));
  return [of, counts];
}

function isCounts(value: unknown): value is Counts {
  if (!Array.isArray(value) || value.length !== KINDS.length) return false;
  return value.every((count) => Number.isSafeInteger(count) && count >= 0);
}

function parseTime(value: unknown): string | null {
  if (value === null) return null;
  demand(typeof value === 'string' && !Number.isNaN(Date.parse(value)));
  return value;
}

function entriesOf(value: unknown): Readonly<Record<string, unknown>> {
  demand(typeof value === 'object' && value !== null);
  return { ...value };
}

function demand(isSo: boolean): asserts isSo {
  if (!isSo) throw new SyntaxError('this is no history');
}

function rowsOf(day: string, counts: Day): DayCounts[] {
  return [...counts].map(([of, [learned, refused, turned]]) => {
    const [trainer, verdict = ''] = of.split(' ');
    return { day, trainer: trainer as Filter, verdict, learned, refused, turned };
  });
}

/** A moment in the time zone of this process: `2026-03-14T12:00`. */
export function localTime(wall: number): string {
  const offset = new Date(wall).getTimezoneOffset() * 60_000;
  return new Date(wall - offset).toISOString().slice(0, 16);
}

function dayOf(wall: number): string {
  return localTime(wall).slice(0, 10);
}

/** So many days in a row, the given one last. */
export function daysUntil(day: string, count: number): readonly string[] {
  const end = Date.parse(day);
  return Array.from({ length: count }, (_, index) =>
    new Date(end - (count - 1 - index) * DAY_MS).toISOString().slice(0, 10),
  );
}

const DAY_MS = 86_400_000;
