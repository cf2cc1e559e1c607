import { accessSync, constants } from 'node:fs';
import { access } from 'node:fs/promises';
import type { SpoolConfig } from '../config.ts';
import { errnoOf } from '../errors.ts';
import { countMessages } from '../spool/census.ts';
import type { Place } from '../spool/census.ts';
import type { DiskFault } from '../spool/disk-faults.ts';
import { perClass } from '../verdict.ts';
import type { PerClass, Verdict } from '../verdict.ts';

/** How many messages lie in which folder of the spool, and which folders can't be counted. */

type SpoolPaths = Pick<SpoolConfig, 'libDir' | 'stateDir' | 'verdicts'>;

/** Messages of each class; `null` where they can't be counted. */
export type Numbers = PerClass<number | null>;

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

/** Folders that can't be counted, each with the system's code; `ENOENT`: it is missing. */
export type CountFaults = Map<string, string>;

/** Counts all folders but the archive, one after the other. Makes nothing. */
export async function countSpool(
  paths: SpoolPaths,
  faults: CountFaults = new Map(),
): Promise<SpoolCounts> {
  return {
    dropped: await countPlace(paths, 'drop', faults),
    queued: await countPlace(paths, 'queue', faults),
    quarantined: await countPlace(paths, 'quarantine', faults),
    released: await countPlace(paths, 'release', faults),
  };
}

/** Counts one place in all classes. */
export async function countPlace(
  { libDir, stateDir, verdicts }: SpoolPaths,
  place: Place,
  faults: CountFaults,
): Promise<Numbers> {
  const counted = new Map<Verdict, number>();
  const base = place === 'drop' ? libDir : stateDir;
  for (const verdict of verdicts) {
    const path = place === 'drop' ? `${base}/${verdict}` : `${base}/${place}/${verdict}`;
    try {
      counted.set(verdict, await countMessages(path, place));
    } catch (error) {
      const code = errnoOf(error);
      if (code === undefined) throw error;
      // A fault that the base has, too, is told once, for the base.
      faults.set(isOpen(base) ? path : base, code);
    }
  }
  return perClass(verdicts, (verdict) => counted.get(verdict) ?? null);
}

const CLOSED: Readonly<Record<string, string>> = {
  ENOENT: 'missing',
  EACCES: 'no message can be taken out of it (permission denied)',
  EROFS: 'no message can be taken out of it (a read-only file system)',
};

/** The class folders that this process can't take messages from, whether one lies there or not. */
export async function closedFolders({
  libDir,
  verdicts,
}: Pick<SpoolPaths, 'libDir' | 'verdicts'>): Promise<readonly DiskFault[]> {
  const faults: DiskFault[] = [];
  for (const verdict of verdicts) {
    const place = `${libDir}/${verdict}`;
    try {
      await access(place, constants.R_OK | constants.W_OK | constants.X_OK);
    } catch (error) {
      const code = errnoOf(error);
      if (code === undefined) throw error;
      faults.push({ place, code, says: CLOSED[code] ?? `the system answers ${code}` });
    }
  }
  return faults;
}

function isOpen(folder: string): boolean {
  try {
    accessSync(folder, constants.R_OK | constants.X_OK);
    return true;
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return false;
  }
}
