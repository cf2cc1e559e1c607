import { rm } from 'node:fs/promises';
import type { Folder } from './folder.ts';
import { VERDICTS } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';

const DAY_MS = 86_400_000;

/** Most that rspamd's clock and ours may differ before neither is trusted with a removal. */
const TRUSTED_SKEW_MS = DAY_MS;

export interface RetentionOptions {
  readonly archive: Readonly<Record<Verdict, Folder>>;
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

/** Whether this is the name of a day of the archive, such as `2026-03-14`. */
export function isArchiveDay(name: string): boolean {
  return /^\d{4}-\d{2}-\d{2}$/.test(name);
}

/**
 * Removes archive days that are older than is kept.
 * @returns the days that were removed, as `VERDICT/YYYY-MM-DD`
 * @throws the system's error for a local fault
 */
export async function removeOldDays(options: RetentionOptions): Promise<string[]> {
  const { archive, days, wall, witnessTime } = options;
  if (days === 0) return [];
  const oldestKept = new Date(wall() - days * DAY_MS).toISOString().slice(0, 10);
  const old = VERDICTS.flatMap((verdict) =>
    [...archive[verdict].list()]
      .map(({ rawName }) => ({ verdict, day: rawName }))
      .filter(({ day }) => isArchiveDay(day) && day < oldestKept),
  );
  if (old.length === 0) return [];
  const witness = await witnessTime();
  if (witness === undefined || Math.abs(wall() - witness) > TRUSTED_SKEW_MS) return [];
  for (const { verdict, day } of old) {
    await rm(archive[verdict].at(day), { recursive: true, force: true });
  }
  return old.map(({ verdict, day }) => `${verdict}/${day}`);
}
