import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { isArchiveDay } from '../../spool/archive.ts';
import { isFolder } from '../../spool/folder.ts';
import { takesPrecedence } from '../../verdict.ts';
import type { Verdict } from '../../verdict.ts';
import { yieldIfDue } from '../../yield-if-due.ts';
import { PathSource } from './path-source.ts';
import { placeOf } from './source.ts';
import type { ReadingOptions, Source } from './source.ts';
import { walk } from './walk.ts';

interface ArchiveFolder {
  readonly path: string;
  readonly verdict: Verdict;
}

/**
 * The DIR arguments: folders that hold a folder for each class, such as the daemon's archive with
 * VERDICT/YYYY-MM-DD/NAME or VERDICT/NAME. The key of a file is its path below the verdict without the
 * day. Of a key that occurs more than once, over all DIRs, days and verdicts, exactly one file
 * counts: that of the later day, then of the later mtime, then ham. A file without a day has that of
 * its mtime (UTC).
 *
 * A survey lists all files before the first one is read; it takes some 300 bytes of memory for each.
 */
export function archiveSources(
  dirs: readonly string[],
  verdicts: readonly Verdict[],
  options: ReadingOptions,
): Source[] {
  const folders = dirs
    .flatMap((dir) => verdicts.map((verdict) => ({ path: join(dir, verdict), verdict })))
    .filter(({ path }) => isFolder(path));
  let survey: Promise<ReadonlySet<string>> | undefined;
  const isOlder = async (place: string): Promise<boolean> => {
    survey ??= olderFiles(folders);
    return (await survey).has(place);
  };
  return folders.map(({ path, verdict }) => new PathSource(path, verdict, options, isOlder));
}

interface ArchiveFile {
  readonly place: string;
  readonly verdict: Verdict;
  readonly day: string;
  readonly mtimeNs: bigint;
}

/** The places of the files that don't count. */
async function olderFiles(folders: readonly ArchiveFolder[]): Promise<ReadonlySet<string>> {
  const newest = new Map<string, ArchiveFile>();
  const older = new Set<string>();
  for (const { path, verdict } of folders) {
    const root = `${placeOf(path)}/`;
    for (const walked of walk(path, placeOf(path), verdict)) {
      await yieldIfDue();
      if (walked.kind !== 'file') continue;
      const { place, address } = walked;
      const stats = lstatSync(address, { bigint: true, throwIfNoEntry: false });
      if (stats === undefined) continue;
      const [day = '', ...names] = place.slice(root.length).split('/');
      const key = isArchiveDay(day) ? names.join('/') : place.slice(root.length);
      const { mtimeNs, mtime } = stats;
      const file = {
        place,
        verdict,
        mtimeNs,
        day: isArchiveDay(day) ? day : mtime.toISOString().slice(0, 'YYYY-MM-DD'.length),
      };
      const known = newest.get(key);
      if (known === undefined || counts(file, known)) newest.set(key, file);
      if (known !== undefined) older.add(counts(file, known) ? known.place : place);
    }
  }
  return older;
}

/** True when `file` counts instead of `other`. */
function counts(file: ArchiveFile, other: ArchiveFile): boolean {
  if (file.day !== other.day) return file.day > other.day;
  if (file.verdict === other.verdict) return file.mtimeNs > other.mtimeNs;
  return takesPrecedence(file.verdict, file.mtimeNs, other.verdict, other.mtimeNs);
}
