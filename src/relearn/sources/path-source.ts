import { realpathSync, statSync } from 'node:fs';
import { isFolder } from '../../spool/folder.ts';
import { clean } from '../../text.ts';
import type { Verdict } from '../../verdict.ts';
import { yieldIfDue } from '../../yield-if-due.ts';
import { ContentReader } from './content-reader.ts';
import { entryFault, placeOf, STDIN } from './source.ts';
import type { Found, Reading, ReadingOptions, Source } from './source.ts';
import { walk } from './walk.ts';
import type { Walked } from './walk.ts';

const COUNTED: ReadonlySet<Found['kind']> = new Set(['message', 'done', 'failed']);

/** What is known of a folder before its first file is read. */
export interface FolderSurvey {
  readonly files: number;
  /** The places of those for which a newer one counts, where they are messages. */
  readonly older: ReadonlySet<string>;
}

/**
 * One PATH of the command line: a message file, an mbox, a folder of them or a Maildir, any of the
 * files packed; or `-`. What it is shows when it is read. The path itself may be a symlink; those
 * inside a folder are not followed. A source of which nothing is mail fails; an empty folder doesn't.
 */
export class PathSource implements Source {
  readonly name: string;
  readonly verdict: Verdict;
  readonly #path: string;
  readonly #place: string;
  readonly #options: ReadingOptions;
  readonly #survey: (() => Promise<FolderSurvey>) | undefined;
  readonly #reader: ContentReader;
  /** Messages, those done before and those that failed. */
  #found = 0;
  #isOver = false;

  /** @param survey waits for what is known of a folder. @defaultValue nothing is */
  constructor(
    path: string,
    verdict: Verdict,
    options: ReadingOptions,
    survey?: () => Promise<FolderSurvey>,
  ) {
    this.name = path === STDIN ? 'standard input' : clean(path, Infinity);
    this.verdict = verdict;
    this.#path = path;
    this.#place = placeOf(path);
    this.#options = options;
    this.#survey = survey;
    this.#reader = new ContentReader(options);
  }

  get expected(): number | undefined {
    const rest = this.#isOver ? 0 : this.#reader.rest;
    return rest === undefined ? undefined : this.#found + rest;
  }

  async *read(): Reading {
    let isMail = false;
    let skipped = 0;
    let itself: Found | undefined;
    for await (const found of this.#read()) {
      if (COUNTED.has(found.kind)) this.#found += 1;
      if (found.kind !== 'skipped') isMail = true;
      else skipped += 1;
      if (found.kind === 'skipped' && found.place === this.#place) itself = found;
      else yield found;
    }
    this.#isOver = true;
    if (isMail || skipped === 0) {
      // The first message of an mbox is at the place of the mbox.
      if (itself !== undefined) yield itself;
      return;
    }
    const failed = { kind: 'failed', place: this.#place, reason: 'nothing of it is mail' } as const;
    yield { ...failed, ...itself, kind: 'failed' };
  }

  async *#read(): Reading {
    const place = this.#place;
    if (place === STDIN) {
      yield* this.#reader.read(this.#options.stdin(), { place, folder: place });
    } else if (isFolder(this.#path)) {
      yield* this.#readFolder();
    } else {
      this.#reader.files = 1;
      this.#reader.fileBegins();
      try {
        // Such as the shell's <(zcat FILE).
        if (statSync(this.#path).isFIFO()) {
          yield { kind: 'failed', place, reason: 'a pipe: pipe it in, and name it -' };
          return;
        }
        const address = realpathSync(this.#path, 'buffer');
        yield* this.#reader.readFile(address, place, place);
      } catch (error) {
        yield entryFault(error, place);
      }
    }
  }

  async *#readFolder(): Reading {
    const survey = await this.#survey?.();
    for (const walked of this.#walk()) {
      await yieldIfDue();
      if (walked.kind !== 'file') {
        yield walked;
        continue;
      }
      this.#reader.fileBegins();
      const { address, place, folder } = walked;
      const reading = this.#reader.readFile(address, place, folder);
      yield* survey?.older.has(place) === true ? unlessOlder(reading, place) : reading;
    }
  }

  async count(signal: AbortSignal): Promise<void> {
    if (this.#survey !== undefined) {
      const survey = await this.#survey().catch(() => undefined);
      this.#reader.files = survey?.files;
      return;
    }
    if (this.#place === STDIN || !isFolder(this.#path)) return;
    let files = 0;
    for (const { kind } of this.#walk()) {
      await yieldIfDue();
      if (signal.aborted) return;
      if (kind === 'file') files += 1;
    }
    this.#reader.files = files;
  }

  #walk(): Iterable<Walked> {
    return walk(this.#path, this.#place, this.verdict);
  }
}

/** A file for which a newer one counts, unless it is an mbox: the name of that is no message's. */
async function* unlessOlder(reading: Reading, file: string): Reading {
  for await (const found of reading) {
    const isOfMbox = found.place !== file || ('folder' in found && found.folder === file);
    if (!isOfMbox) {
      yield { kind: 'older', place: file };
      return;
    }
    yield found;
  }
}
