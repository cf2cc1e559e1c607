import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { dayOf, isArchiveDay } from '../../spool/archive.ts';
import { isFolder } from '../../spool/folder.ts';
import { classesOf, ofClass, takesPrecedence } from '../../verdict.ts';
import type { Verdict } from '../../verdict.ts';
import { yieldIfDue } from '../../yield-if-due.ts';
import { PathSource } from './path-source.ts';
import type { Survey } from './path-source.ts';
import type { SortedSources } from './source-arguments.ts';
import { placeOf } from './source.ts';
import type { ReadingOptions, Source } from './source.ts';
import { walk } from './walk.ts';

/**
 * The sources that a command line names, none of which is opened yet.
 *
 * A DIR holds a folder for each class, such as the daemon's archive with VERDICT/YYYY-MM-DD/NAME or
 * VERDICT/NAME. The key of a file is its path below the verdict without the day. Of a key that occurs
 * more than once, over all DIRs, days and verdicts, exactly one file counts: that of the later day,
 * then of the later mtime, then ham. A file without a day has that of its mtime (UTC).
 *
 * A survey lists all files of the DIRs before the first one is read; it takes some 300 bytes of memory
 * for each.
 */
export function namedSources(
  { dirs, paths }: SortedSources,
  reading: ReadingOptions,
): readonly Source[] {
  const verdicts = classesOf(paths);
  const folders = dirs
    .flatMap((dir) => verdicts.map((verdict) => ({ path: join(dir, verdict), verdict })))
    .filter(({ path }) => isFolder(path));
  let survey: Promise<Survey> | undefined;
  const surveyed = (): Promise<Survey> => (survey ??= surveyOf(folders));
  return [
    ...folders.map(({ path, verdict }) => new PathSource(path, verdict, reading, surveyed)),
    ...verdicts.flatMap((verdict) =>
      ofClass(paths, verdict).map((path) => new PathSource(path, verdict, reading)),
    ),
  ];
}

interface ArchiveFile {
  readonly place: string;
  readonly verdict: Verdict;
  readonly day: string;
  readonly mtimeNs: bigint;
}

async function surveyOf(
  folders: readonly { readonly path: string; readonly verdict: Verdict }[],
): Promise<Survey> {
  const newest = new Map<string, ArchiveFile>();
  const files = new Map<string, number>();
  const older = new Set<string>();
  for (const { path, verdict } of folders) {
    const root = `${placeOf(path)}/`;
    let count = 0;
    for (const walked of walk(path, verdict)) {
      await yieldIfDue();
      if (walked.kind !== 'file') continue;
      count += 1;
      const { place, address } = walked;
      const stats = lstatSync(address, { bigint: true, throwIfNoEntry: false });
      if (stats === undefined) continue;
      const { mtimeNs, mtimeMs } = stats;
      const below = place.slice(root.length);
      const [first = '', ...names] = below.split('/');
      const [day, key] = isArchiveDay(first)
        ? [first, names.join('/')]
        : [dayOf(Number(mtimeMs)), below];
      const file = { place, verdict, day, mtimeNs };
      const known = newest.get(key);
      const isNewer = known === undefined || counts(file, known);
      if (isNewer) newest.set(key, file);
      if (known !== undefined) older.add((isNewer ? known : file).place);
    }
    files.set(path, count);
  }
  return { files, older };
}

/** True when `file` counts instead of `other`. */
function counts(file: ArchiveFile, other: ArchiveFile): boolean {
  if (file.day !== other.day) return file.day > other.day;
  return takesPrecedence(file.verdict, file.mtimeNs, other.verdict, other.mtimeNs);
}
