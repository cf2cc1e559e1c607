import { lstatSync, opendirSync } from 'node:fs';
import type { BigIntStats, Dirent } from 'node:fs';
import { errnoOf } from '../../errors.ts';
import { isArchiveDay } from '../../spool/retention.ts';
import { clean } from '../../text.ts';
import { VERDICTS, takesPrecedence } from '../../verdict.ts';
import type { Verdict } from '../../verdict.ts';
import { ContentReader } from './content-reader.ts';
import { forEachFile, orNoMail, readFolder } from './folder.ts';
import { NameSet } from './name-set.ts';
import { nodePathOf, encodePlace, rawPathOf } from './place.ts';
import { SizeEstimate } from './size-estimate.ts';
import { REASON } from './source.ts';
import type { Reading, ReadingOptions, Source } from './source.ts';
import type { WalkedFile } from './walk.ts';
import { yieldIfDue } from '../../yield-if-due.ts';

/**
 * The DIR arguments: folders that hold `spam/` and `ham/`, such as the daemon's archive with
 * VERDICT/YYYY-MM-DD/NAME or VERDICT/NAME. The key of a file is its path below the verdict without the
 * day. Of a key that occurs more than once, over all DIRs, days and both verdicts, only the newest file
 * counts: that of the later day, then of the later mtime, then ham; whatever is left of a tie (the same
 * archive named twice) goes by the order of the command line, so that exactly one counts. A file
 * without a day has that of its mtime (UTC).
 *
 * A survey lists all names before the first file is read, and remembers their hashes; only a key whose
 * hash came twice is looked for in all places. So a collision of hashes costs time and never a message.
 */
export function archiveSources(dirs: readonly string[], options: ReadingOptions): Source[] {
  const roots = dirs.flatMap((dir) =>
    VERDICTS.map((verdict): Root => {
      const path = slashed(rawPathOf(dir)) + verdict;
      return { dir, path, verdict, days: [], estimate: new SizeEstimate() };
    }),
  );
  const archive = new Archive(roots);
  return roots.map((root) => sourceOf(archive, root, options));
}

/** The folder of one verdict in a DIR. */
interface Root {
  /** As the operator named it. */
  readonly dir: string;
  /** Raw path. */
  readonly path: string;
  readonly verdict: Verdict;
  /** Its day folders; the survey lists them. */
  readonly days: string[];
  readonly estimate: SizeEstimate;
}

/** Where a file of the archive lies; no day is that of a file in no day folder. */
interface ArchivePlace {
  readonly root: Root;
  readonly day: string | undefined;
  readonly key: string;
}

/** What the sources of one command know together. */
class Archive {
  readonly #roots: readonly Root[];
  /** Keys whose hashes came twice. */
  readonly #twice = new NameSet();
  #surveying: Promise<void> | undefined;

  constructor(roots: readonly Root[]) {
    this.#roots = roots;
  }

  /** Must be over before `isOlder` is asked. */
  survey(signal?: AbortSignal): Promise<void> {
    return (this.#surveying ??= this.#survey(signal));
  }

  async #survey(signal: AbortSignal | undefined): Promise<void> {
    const seen = new NameSet();
    for (const { path, verdict, days, estimate } of this.#roots) {
      let files = 0;
      if (isArchiveFolder(path)) {
        await listDays(path, days);
        await forEachFile({ path, verdict }, signal, ({ below }) => {
          files += 1;
          const { key } = datedKey(below);
          if (!seen.add(key)) this.#twice.add(key);
        });
      }
      estimate.counted(files);
    }
  }

  /** True when another file of the same key counts instead. */
  isOlder(root: Root, { below }: WalkedFile): boolean {
    const place = { root, ...datedKey(below) };
    if (!this.#twice.has(place.key)) return false;
    const own = this.#ageAt(place);
    if (own === undefined) return false;
    return this.#roots.some((other) =>
      [undefined, ...other.days].some((day) => {
        if (other === root && day === place.day) return false;
        const age = this.#ageAt({ root: other, day, key: place.key });
        return age !== undefined && isNewer(age, own);
      }),
    );
  }

  #ageAt({ root, day, key }: ArchivePlace): Age | undefined {
    const folder = day === undefined ? root.path : `${root.path}/${day}`;
    const stats = lstatOf(`${folder}/${key}`);
    if (stats?.isFile() !== true || !liesInFolders(root.path, folder, key)) return undefined;
    const { mtimeNs, mtimeMs } = stats;
    return {
      day: day ?? new Date(Number(mtimeMs)).toISOString().slice(0, 'YYYY-MM-DD'.length),
      mtimeNs,
      verdict: root.verdict,
      isDated: day !== undefined,
      order: this.#roots.indexOf(root),
    };
  }
}

function sourceOf(archive: Archive, root: Root, options: ReadingOptions): Source {
  const { dir, verdict, path, estimate } = root;
  const reader = new ContentReader(options, verdict, estimate);
  const place = encodePlace(path);
  const isOlder = (file: WalkedFile): boolean => archive.isOlder(root, file);
  async function* read(): Reading {
    const stats = lstatOf(path);
    if (stats?.isDirectory() === true) {
      await archive.survey();
      yield* readFolder({ path, verdict }, { reader, estimate, isOlder });
    } else if (stats?.isSymbolicLink() === true) {
      yield { kind: 'skipped', place, reason: REASON.symlink };
    } else if (verdict === VERDICTS[0] && holdsNeither(dir)) {
      const reason = 'holds neither spam/ nor ham/';
      yield { kind: 'failed', place: encodePlace(rawPathOf(dir)), reason };
    }
    estimate.over();
  }
  return {
    name: clean(slashed(dir) + verdict),
    verdict,
    read: () => orNoMail(read(), place),
    get expected() {
      return estimate.expected;
    },
    count: (signal) => archive.survey(signal),
  };
}

function holdsNeither(dir: string): boolean {
  return VERDICTS.every((verdict) => {
    const stats = lstatOf(slashed(rawPathOf(dir)) + verdict);
    return stats?.isDirectory() !== true && stats?.isSymbolicLink() !== true;
  });
}

function slashed(path: string): string {
  return path.endsWith('/') ? path : `${path}/`;
}

/** @param below raw path below the verdict's folder */
function datedKey(below: string): { readonly day: string | undefined; readonly key: string } {
  const slash = below.indexOf('/');
  const first = below.slice(0, Math.max(0, slash));
  return isArchiveDay(first)
    ? { day: first, key: below.slice(slash + 1) }
    : { day: undefined, key: below };
}

/** Adds the day folders of a verdict's folder; none where it can't be listed: the reading says it. */
async function listDays(path: string, days: string[]): Promise<void> {
  try {
    const encoding: BufferEncoding = 'latin1';
    const directory = opendirSync(nodePathOf(path), { encoding, bufferSize: 1_024 });
    try {
      for (let entry: Dirent | null; (entry = directory.readSync()) !== null;) {
        if (isArchiveDay(entry.name) && isArchiveFolder(`${path}/${entry.name}`))
          days.push(entry.name);
        await yieldIfDue();
      }
    } finally {
      directory.closeSync();
    }
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
  }
}

interface Age {
  readonly day: string;
  readonly mtimeNs: bigint;
  readonly verdict: Verdict;
  readonly isDated: boolean;
  /** Of its root on the command line. */
  readonly order: number;
}

/** True when `a` counts instead of `b`; of two different places exactly one counts. */
function isNewer(a: Age, b: Age): boolean {
  if (a.day !== b.day) return a.day > b.day;
  if (a.verdict !== b.verdict) {
    return takesPrecedence(a.verdict, a.mtimeNs, b.mtimeNs);
  }
  if (a.mtimeNs !== b.mtimeNs) return a.mtimeNs > b.mtimeNs;
  return a.order === b.order ? a.isDated : a.order < b.order;
}

/** True when no symlink leads to it: what isn't read must not count as newer either. */
function liesInFolders(root: string, folder: string, key: string): boolean {
  const names = key.split('/').slice(0, -1);
  const folders = names.map((_, index) => [folder, ...names.slice(0, index + 1)].join('/'));
  return [root, ...folders].every(isArchiveFolder);
}

/** True for a folder, and not for a symlink to one. */
function isArchiveFolder(path: string): boolean {
  return lstatOf(path)?.isDirectory() ?? false;
}

/** `undefined` for what can't be reached: it can't be read either. */
function lstatOf(path: string): BigIntStats | undefined {
  try {
    return lstatSync(nodePathOf(path), { bigint: true, throwIfNoEntry: false });
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return undefined;
  }
}
