import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { dayOf, isArchiveDay } from '../../spool/archive.ts';
import { isFolder } from '../../spool/folder.ts';
import { takesPrecedence } from '../../verdict.ts';
import type { Verdict } from '../../verdict.ts';
import { yieldIfDue } from '../../yield-if-due.ts';
import { PathSource } from './path-source.ts';
import type { FolderSurvey } from './path-source.ts';
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
  let survey: Promise<ReadonlyMap<string, FolderSurvey>> | undefined;
  return folders.map(({ path, verdict }) => {
    const surveyed = async (): Promise<FolderSurvey> => {
      survey ??= surveyOf(folders);
      return (await survey).get(path) ?? NOTHING;
    };
    return new PathSource(path, verdict, options, surveyed);
  });
}

const NOTHING: FolderSurvey = { files: 0, older: new Set() };

interface ArchiveFile {
  readonly place: string;
  /** Takes in the files of its folder that don't count. */
  readonly older: Set<string>;
  readonly verdict: Verdict;
  readonly day: string;
  readonly mtimeNs: bigint;
}

/** What the folders hold, by their paths. */
async function surveyOf(
  folders: readonly ArchiveFolder[],
): Promise<ReadonlyMap<string, FolderSurvey>> {
  const newest = new Map<string, ArchiveFile>();
  const surveys = new Map<string, FolderSurvey>();
  for (const { path, verdict } of folders) {
    const root = `${placeOf(path)}/`;
    const older = new Set<string>();
    let files = 0;
    for (const walked of walk(path, placeOf(path), verdict)) {
      await yieldIfDue();
      if (walked.kind !== 'file') continue;
      files += 1;
      const { place, address } = walked;
      const stats = lstatSync(address, { bigint: true, throwIfNoEntry: false });
      if (stats === undefined) continue;
      const [day = '', ...names] = place.slice(root.length).split('/');
      const key = isArchiveDay(day) ? names.join('/') : place.slice(root.length);
      const { mtimeNs, mtimeMs } = stats;
      const file = {
        place,
        older,
        verdict,
        mtimeNs,
        day: isArchiveDay(day) ? day : dayOf(Number(mtimeMs)),
      };
      const known = newest.get(key);
      const isNewer = known === undefined || counts(file, known);
      if (isNewer) newest.set(key, file);
      const less = isNewer ? known : file;
      less?.older.add(less.place);
    }
    surveys.set(path, { files, older });
  }
  return surveys;
}

/** True when `file` counts instead of `other`. */
function counts(file: ArchiveFile, other: ArchiveFile): boolean {
  if (file.day !== other.day) return file.day > other.day;
  if (file.verdict === other.verdict) return file.mtimeNs > other.mtimeNs;
  return takesPrecedence(file.verdict, file.mtimeNs, other.verdict, other.mtimeNs);
}
