import { lstatSync, opendirSync } from 'node:fs';
import type { BigIntStats, Dirent } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { newerVerdict } from '../../verdict.ts';
import type { Verdict } from '../../verdict.ts';
import { isArchiveDay } from '../../spool/retention.ts';
import { addressOf } from './place.ts';

/**
 * The daemon's archive, VERDICT/YYYY-MM-DD/NAME or VERDICT/NAME, and which of several files of the
 * same name is the newest. A file's key is its path below the verdict without the day.
 *
 * Of the same key the later day counts, then the later mtime, then ham; whatever is left of a tie
 * (the same archive named twice) goes by the order of the command line, so that exactly one counts.
 * A file without a day has that of its mtime (UTC).
 */
export interface ArchiveRoot {
  /** Raw path of the verdict's folder. */
  readonly path: string;
  readonly verdict: Verdict;
  /** Its day folders, latest first. */
  readonly days: readonly string[];
  /** False where there is no such folder, or a symlink in its place: nothing is read through it. */
  readonly isFolder: boolean;
}

const SLICE = 2_000;
const LATIN1: BufferEncoding = 'latin1';

export interface DatedKey {
  /** `undefined` for a file that lies in no day folder. */
  readonly day: string | undefined;
  readonly key: string;
}

/** @param below raw path below the verdict's folder */
export function datedKey(below: string): DatedKey {
  const slash = below.indexOf('/');
  const first = slash === -1 ? '' : below.slice(0, slash);
  return isArchiveDay(first)
    ? { day: first, key: below.slice(slash + 1) }
    : { day: undefined, key: below };
}

/** The day folders of a verdict's folder, latest first; none where it can't be listed. */
export async function listDays(path: string): Promise<string[]> {
  const days: string[] = [];
  try {
    const directory = opendirSync(addressOf(path), { encoding: LATIN1, bufferSize: 1_024 });
    try {
      let entry: Dirent | null;
      for (let count = 1; (entry = directory.readSync()) !== null; count += 1) {
        if (isArchiveDay(entry.name) && isFolder(`${path}/${entry.name}`)) days.push(entry.name);
        if (count % SLICE === 0) await setImmediate();
      }
    } finally {
      directory.closeSync();
    }
  } catch {
    // The reading says it.
  }
  return days.sort().reverse();
}

/** Where a file of the archive lies. */
export interface ArchivePlace extends DatedKey {
  /** Its root's number on the command line. */
  readonly root: number;
}

/** True when another file of the same key counts instead of the one at `place`. */
export function hasNewer(roots: readonly ArchiveRoot[], place: ArchivePlace): boolean {
  // Most files have no other: theirs is looked up when one is there.
  let own: Age | undefined;
  return roots.some(({ days, isFolder: isThere }, root) => {
    if (!isThere) return false;
    // Days before its own can't hold a newer one.
    const wanted = days.filter((day) => place.day === undefined || day >= place.day);
    return [undefined, ...wanted].some((day) => {
      if (root === place.root && day === place.day) return false;
      const other = ageAt(roots, { root, day, key: place.key });
      if (other === undefined) return false;
      own ??= ageAt(roots, place);
      return own !== undefined && compareAges(other, own) > 0;
    });
  });
}

interface Age {
  readonly day: string;
  readonly mtimeNs: bigint;
  readonly verdict: Verdict;
  readonly isDated: boolean;
  readonly root: number;
}

function ageAt(roots: readonly ArchiveRoot[], { root, day, key }: ArchivePlace): Age | undefined {
  const folder = roots[root];
  if (folder === undefined) return undefined;
  const below = day === undefined ? key : `${day}/${key}`;
  const stats = statsOf(`${folder.path}/${below}`);
  if (stats?.isFile() !== true || !liesInFolders(folder.path, key, day)) return undefined;
  return {
    day: day ?? new Date(Number(stats.mtimeMs)).toISOString().slice(0, 'YYYY-MM-DD'.length),
    mtimeNs: stats.mtimeNs,
    verdict: folder.verdict,
    isDated: day !== undefined,
    root,
  };
}

/** True when no symlink leads to it: what isn't read must not count as newer either. */
function liesInFolders(path: string, key: string, day: string | undefined): boolean {
  let folder = day === undefined ? path : `${path}/${day}`;
  return key
    .split('/')
    .slice(0, -1)
    .every((name) => isFolder((folder += `/${name}`)));
}

/** True for a folder, and not for a symlink to one. */
export function isFolder(path: string): boolean {
  return statsOf(path)?.isDirectory() ?? false;
}

function statsOf(path: string): BigIntStats | undefined {
  try {
    return lstatSync(addressOf(path), { bigint: true, throwIfNoEntry: false });
  } catch {
    // What can't be reached can't be read either.
    return undefined;
  }
}

/** Above zero when `a` is newer. Never zero for two different places. */
function compareAges(a: Age, b: Age): number {
  if (a.day !== b.day) return a.day > b.day ? 1 : -1;
  if (a.verdict !== b.verdict) {
    const [spam, ham] = a.verdict === 'spam' ? [a, b] : [b, a];
    return newerVerdict(spam.mtimeNs, ham.mtimeNs) === a.verdict ? 1 : -1;
  }
  if (a.mtimeNs !== b.mtimeNs) return a.mtimeNs > b.mtimeNs ? 1 : -1;
  if (a.root !== b.root) return b.root - a.root;
  return a.isDated ? 1 : -1;
}
