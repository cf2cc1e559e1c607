import { accessSync, constants } from 'node:fs';
import { errnoOf } from '../errors.ts';
import { countMessages } from '../spool/census.ts';
import type { Place } from '../spool/census.ts';
import { VERDICTS } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';

/** How many messages lie in which folder of the spool, and which folders can't be counted. */

export interface SpoolPaths {
  /** KOPANO_SPAMD_LIB. */
  readonly libDir: string;
  readonly stateDir: string;
}

/** Messages of each class; `null` where they can't be counted. */
export type Numbers = Readonly<Record<Verdict, number | null>>;

/** What lies in the folders that a message passes. */
export interface SpoolCounts {
  /** In the drop directory, not taken yet. */
  readonly dropped: Numbers;
  /** In the queue, whatever they wait for. */
  readonly queued: Numbers;
  readonly quarantined: Numbers;
  /** Out of the quarantine, not taken back yet. */
  readonly released: Numbers;
}

/** A folder that can't be counted. */
export interface UncountedFolder {
  readonly path: string;
  /** `ENOENT`: it is missing. */
  readonly code: string;
}

/**
 * Counts all folders but the archive, one after the other: each holds the event loop for some
 * milliseconds at a time. Makes nothing; rejects only by an error of this program.
 * @param uncounted takes the folders that can't be counted
 */
export async function countSpool(
  paths: SpoolPaths,
  uncounted = new Map<string, UncountedFolder>(),
): Promise<SpoolCounts> {
  return {
    dropped: await countPlace(paths, 'drop', uncounted),
    queued: await countPlace(paths, 'queue', uncounted),
    quarantined: await countPlace(paths, 'quarantine', uncounted),
    released: await countPlace(paths, 'release', uncounted),
  };
}

/** Counts one place in both classes. */
export async function countPlace(
  { libDir, stateDir }: SpoolPaths,
  place: Place,
  uncounted: Map<string, UncountedFolder>,
): Promise<Numbers> {
  const numbers: Record<Verdict, number | null> = { spam: null, ham: null };
  const base = place === 'drop' ? libDir : stateDir;
  for (const verdict of VERDICTS) {
    const path = place === 'drop' ? `${libDir}/${verdict}` : `${stateDir}/${place}/${verdict}`;
    const found = await countMessages(path, place);
    if (found.kind === 'counted') {
      numbers[verdict] = found.messages;
      continue;
    }
    const code = found.kind === 'missing' ? 'ENOENT' : found.code;
    // A fault that the base has, too, is reported once, for the base.
    const told = codeOfAccess(base) === code ? base : path;
    uncounted.set(told, { path: told, code });
  }
  return numbers;
}

function codeOfAccess(folder: string): string | undefined {
  try {
    accessSync(folder, constants.R_OK | constants.X_OK);
    return undefined;
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return errnoOf(error);
  }
}

/** A count is good for a second, and for twenty times as long as it took. */
export function countFreshMs(_: SpoolCounts, tookMs: number): number {
  return Math.max(1_000, tookMs * 20);
}
