import { mkdirSync, renameSync, unlinkSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { Clock } from '../clock.ts';
import { ofClass } from '../verdict.ts';
import type { PerClass } from '../verdict.ts';
import { namesIn } from './folder.ts';
import type { Folder } from './folder.ts';
import type { QueueEntry } from './message.ts';
import type { CheckResult, Queue } from './queue.ts';

/**
 * What becomes of a message that rspamd remembers: it is removed, or moved to
 * `archive/VERDICT/YYYY-MM-DD/NAME` (UTC), but only while it is still the file that was learned. Days
 * that are older than is kept are removed.
 */

const DAY_MS = 86_400_000;
/** Most that rspamd's clock and ours may differ before neither is trusted with a removal. */
const TRUSTED_SKEW_MS = DAY_MS;

/** Where learned messages go. */
export interface Destination {
  readonly queue: Queue;
  readonly archive: PerClass<Folder>;
  readonly after: 'remove' | 'archive';
  /** With `remove` it stays so, and need not be looked at with each message. */
  readonly isArchiveEmpty?: boolean;
  /** Milliseconds since the epoch. */
  readonly wall: () => number;
}

/**
 * Disposes of an entry. Safe to repeat.
 * @returns what is different about the file, which then stays; `undefined` when it is done
 * @throws the system's error for a disk fault; the entry is then still in the queue
 */
export function disposeOf(entry: QueueEntry, to: Destination): CheckResult {
  const different = to.queue.check(entry);
  if (different !== undefined) return different;
  const { verdict, key } = entry;
  const place = to.queue.folder(verdict).at(key);
  const own = ofClass(to.archive, verdict);
  if (to.after === 'archive') {
    const today = dayOf(to.wall());
    if (own.lstat(today) === undefined) mkdirSync(own.at(today), { mode: 0o700 });
    // Another verdict of the same day is history; of two days the reader takes the later one, which
    // a clock that was ahead has made of an earlier one. They go first: a crash in between leaves the
    // message in the queue.
    removeCopies(
      to.archive,
      key,
      (folder, day) => day > today || (day === today && folder !== own),
    );
    renameSync(place, own.at(`${today}/${key}`));
  } else {
    // An archive from before LEARN_AFTER=remove must not teach again what this verdict has overturned.
    if (to.isArchiveEmpty !== true) removeCopies(to.archive, key, (folder) => folder !== own);
    unlinkSync(place);
  }
  return undefined;
}

function removeCopies(
  archive: PerClass<Folder>,
  key: string,
  isOutdated: (folder: Folder, day: string) => boolean,
): void {
  for (const folder of Object.values(archive)) {
    for (const day of daysOf(folder).filter((name) => isOutdated(folder, name))) {
      if (folder.lstat(day)?.isDirectory() === true) folder.removeFile(`${day}/${key}`);
    }
  }
}

interface RetentionOptions {
  readonly archive: PerClass<Folder>;
  /** Days that are kept; 0 keeps all. */
  readonly days: number;
  /** Our wall clock, milliseconds since the epoch. */
  readonly wall: () => number;
  /**
   * Another clock's time, asked only when something is to be removed: a machine that starts with
   * its clock years ahead must not empty the archive. `undefined` when nobody answers.
   */
  readonly witnessTime: () => Promise<number | undefined>;
}

/**
 * Removes archive days that are older than is kept.
 * @throws the system's error for a disk fault
 */
export async function removeOldDays(options: RetentionOptions): Promise<void> {
  const { archive, days, wall, witnessTime } = options;
  if (days === 0) return;
  const oldestKept = dayOf(wall() - days * DAY_MS);
  const old = Object.values(archive).flatMap((folder) =>
    daysOf(folder)
      .filter((day) => day < oldestKept)
      .map((day) => folder.at(day)),
  );
  const witness = old.length === 0 ? undefined : await witnessTime();
  if (!isTrusted(wall(), witness)) return;
  for (const place of old) await rm(place, { recursive: true, force: true });
}

/** Whether our wall clock may be believed where something is removed for its age. */
export function isTrusted(wall: number, witness: number | undefined): boolean {
  return witness !== undefined && Math.abs(wall - witness) <= TRUSTED_SKEW_MS;
}

/**
 * The witness where no filter tells the time, as SpamAssassin doesn't: our own wall clock, once it has
 * kept step with the monotonic one for a day. One that was wrong at the start has been set by then.
 */
export class SteadyClock {
  readonly #clock: Pick<Clock, 'wall' | 'monotonic'>;
  #since: { readonly wall: number; readonly monotonic: number };

  constructor(clock: Pick<Clock, 'wall' | 'monotonic'>) {
    this.#clock = clock;
    this.#since = this.#now();
  }

  /** Milliseconds since the epoch; `undefined` until that day is over, also after a jump. */
  time(): number | undefined {
    const { wall, monotonic } = this.#now();
    const passed = monotonic - this.#since.monotonic;
    const hasJumped = Math.abs(wall - (this.#since.wall + passed)) > TRUSTED_SKEW_MS;
    if (hasJumped) this.#since = { wall, monotonic };
    return hasJumped || passed < DAY_MS ? undefined : wall;
  }

  #now() {
    return { wall: this.#clock.wall(), monotonic: this.#clock.monotonic() };
  }
}

/** @throws the system's error for a disk fault */
export function isArchiveEmpty(archive: PerClass<Folder>): boolean {
  return Object.values(archive).every((folder) => daysOf(folder).length === 0);
}

/** Whether this is the name of a day of the archive, such as `2026-03-14`. */
export function isArchiveDay(name: string): boolean {
  return /^\d{4}-\d{2}-\d{2}$/.test(name);
}

function daysOf(folder: Folder): string[] {
  return [...folder.list()].map(({ rawName }) => rawName).filter(isArchiveDay);
}

const LAST_MS = Date.UTC(9999, 11, 31);

/** The day of a moment, in UTC; a file may bear a time that no calendar has. */
export function dayOf(epochMs: number): string {
  return new Date(Math.min(Math.max(epochMs, 0), LAST_MS)).toISOString().slice(0, 10);
}

/** Which command teaches again what was forgotten, or that nothing can. */
export function teachAgain(stateDir: string): string {
  const archive = `${stateDir}/archive`;
  return namesIn(archive).some((verdict) => namesIn(`${archive}/${verdict}`).length > 0)
    ? `teach it again: stop the daemon, kopano-learnd relearn ${archive}, start it`
    : 'there is no archive to teach it from again; LEARN_AFTER=archive keeps one from now on';
}
