import { lstatSync } from 'node:fs';
import { VERDICTS } from '../../verdict.ts';
import type { Verdict } from '../../verdict.ts';
import { clean } from '../../text.ts';
import { datedKey, hasNewer, isFolder, listDays } from './archive-layout.ts';
import type { ArchiveRoot } from './archive-layout.ts';
import { countFiles, forEachFile, orNoMail, readFolder } from './folder-reading.ts';
import { MessageReader } from './message-reader.ts';
import { NameSet } from './name-set.ts';
import { addressOf, encodePlace, rawPathOf } from './place.ts';
import { REASON } from './source.ts';
import type { Found, ReadingOptions, Source } from './source.ts';
import { Tally } from './tally.ts';
import type { WalkedFile } from './walk.ts';

/**
 * The DIR arguments: folders that hold `spam/` and `ham/`. Of a key that occurs more than once, over
 * all of them, all days and both verdicts, only the newest file counts (`archive-layout.ts`).
 *
 * With one DIR and at most one day there are few places where another could lie: they are looked at
 * for every file. Otherwise a survey lists all names before the first file is read, and remembers
 * their hashes; only a key whose hash came twice is looked for in all places. So a collision of
 * hashes costs time and never a message.
 */
export function archiveSources(dirs: readonly string[], options: ReadingOptions): Source[] {
  const archive = new Archive(dirs);
  return dirs.flatMap((dir, index) =>
    VERDICTS.map(
      (verdict, offset) =>
        new ArchiveSource({
          archive,
          dir,
          root: index * VERDICTS.length + offset,
          verdict,
          options,
        }),
    ),
  );
}

/** What the sources of one command know together. */
class Archive {
  readonly #paths: readonly { readonly path: string; readonly verdict: Verdict }[];
  readonly #dirs: number;
  #roots: readonly ArchiveRoot[] = [];
  /** Keys that came twice; `undefined` while every file is looked at. */
  #twice: NameSet | undefined;
  #files: number[] | undefined;
  #preparing: Promise<void> | undefined;
  #isPrepared = false;

  constructor(dirs: readonly string[]) {
    this.#dirs = dirs.length;
    this.#paths = dirs.flatMap((dir) =>
      VERDICTS.map((verdict) => ({ path: `${slashed(rawPathOf(dir))}${verdict}`, verdict })),
    );
  }

  /** Must be over before `isOlder` is asked. */
  async prepare(): Promise<void> {
    if (this.#isPrepared) return;
    this.#preparing ??= this.#survey();
    await this.#preparing;
    this.#isPrepared = true;
  }

  /** How many files a root holds, where the survey has counted them. */
  filesOf(root: number): number | undefined {
    return this.#files?.[root];
  }

  isOlder(root: number, { below }: WalkedFile): boolean {
    const { day, key } = datedKey(below);
    if (this.#twice?.has(key) === false) return false;
    return hasNewer(this.#roots, { root, day, key });
  }

  async #survey(): Promise<void> {
    const roots: ArchiveRoot[] = [];
    for (const { path, verdict } of this.#paths) {
      const isThere = isFolder(path);
      const days = isThere ? await listDays(path) : [];
      roots.push({ path, verdict, days, isFolder: isThere });
    }
    this.#roots = roots;
    const days = new Set(roots.flatMap((root) => root.days));
    if (this.#dirs === 1 && days.size <= 1) return;

    const seen = new NameSet();
    const twice = new NameSet();
    const files: number[] = [];
    for (const { path, verdict, isFolder: isThere } of roots) {
      let count = 0;
      if (isThere) {
        await forEachFile({ path, verdict }, always, ({ below }) => {
          count += 1;
          const { key } = datedKey(below);
          if (!seen.add(key)) twice.add(key);
        });
      }
      files.push(count);
    }
    this.#twice = twice;
    this.#files = files;
  }
}

interface ArchiveSourceOptions {
  readonly archive: Archive;
  readonly dir: string;
  /** Its number among the roots of the archive. */
  readonly root: number;
  readonly verdict: Verdict;
  readonly options: ReadingOptions;
}

class ArchiveSource implements Source {
  readonly name: string;
  readonly verdict: Verdict;
  readonly #dir: string;
  readonly #path: string;
  readonly #archive: Archive;
  readonly #root: number;
  readonly #options: ReadingOptions;
  readonly #tally = new Tally();

  constructor({ archive, dir, root, verdict, options }: ArchiveSourceOptions) {
    this.name = clean(`${slashed(dir)}${verdict}`);
    this.verdict = verdict;
    this.#dir = slashed(rawPathOf(dir));
    this.#path = this.#dir + verdict;
    this.#archive = archive;
    this.#root = root;
    this.#options = options;
  }

  get expected(): number | undefined {
    return this.#tally.expected;
  }

  read(): AsyncGenerator<Found, void, undefined> {
    const place = encodePlace(this.#path);
    return orNoMail(this.#read(place), place);
  }

  async *#read(place: string): AsyncGenerator<Found, void, undefined> {
    const { verdict } = this;
    const tally = this.#tally;
    const kind = kindAt(this.#path);
    if (kind === 'folder') {
      await this.#archive.prepare();
      const reader = new MessageReader(this.#options, verdict, tally);
      const isOlder = (file: WalkedFile): boolean => this.#archive.isOlder(this.#root, file);
      yield* readFolder({ path: this.#path, verdict }, { reader, tally, isOlder });
    } else if (kind === 'symlink') {
      yield { kind: 'skipped', place, reason: REASON.symlink };
    } else if (verdict === VERDICTS[0] && this.#holdsNeither()) {
      yield { kind: 'failed', place: encodePlace(this.#dir.slice(0, -1) || '/'), reason: NEITHER };
    }
    tally.over();
  }

  async count(signal: AbortSignal): Promise<void> {
    await this.#archive.prepare();
    const files = isFolder(this.#path)
      ? (this.#archive.filesOf(this.#root) ??
        (await countFiles({ path: this.#path, verdict: this.verdict }, signal)))
      : 0;
    if (files !== undefined) this.#tally.counted(files);
  }

  #holdsNeither(): boolean {
    return VERDICTS.every((verdict) => kindAt(this.#dir + verdict) === 'none');
  }
}

const NEITHER = 'holds neither spam/ nor ham/';

function always(): boolean {
  return true;
}

function slashed(path: string): string {
  return path.endsWith('/') ? path : `${path}/`;
}

function kindAt(path: string): 'folder' | 'symlink' | 'none' {
  try {
    const stats = lstatSync(addressOf(path), { throwIfNoEntry: false });
    if (stats?.isDirectory() === true) return 'folder';
    return stats?.isSymbolicLink() === true ? 'symlink' : 'none';
  } catch {
    return 'none';
  }
}
