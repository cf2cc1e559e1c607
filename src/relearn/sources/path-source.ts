import { realpathSync, statSync } from 'node:fs';
import { isFolder } from '../../spool/folder.ts';
import { clean } from '../../text.ts';
import type { Verdict } from '../../verdict.ts';
import { yieldIfDue } from '../../yield-if-due.ts';
import { ContentReader } from './content-reader.ts';
import { COUNTED, STDIN, entryFault, placeOf } from './source.ts';
import type { Found, Reading, ReadingOptions, Source } from './source.ts';
import { walk } from './walk.ts';

/** What is known of some folders before their first file is read. */
export interface Survey {
  /** How many files there are, by the folder's path. */
  readonly files: ReadonlyMap<string, number>;
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
  readonly #survey: (() => Promise<Survey>) | undefined;
  readonly #reader: ContentReader;
  /** How many things that are {@link COUNTED}. */
  #found = 0;
  #isOver = false;

  /** @param survey waits for what is known of the folder. @defaultValue nothing is */
  constructor(
    path: string,
    verdict: Verdict,
    options: ReadingOptions,
    survey?: () => Promise<Survey>,
  ) {
    this.name = path === STDIN ? 'standard input' : clean(path, Infinity);
    this.verdict = verdict;
    this.#path = path;
    this.#place = placeOf(path);
    this.#options = options;
    this.#survey = survey;
    this.#reader = new ContentReader(options, verdict);
  }

  get expected(): number | undefined {
    const rest = this.#isOver ? 0 : this.#reader.rest;
    return rest === undefined ? undefined : this.#found + rest;
  }

  async *read(): Reading {
    let [isEmpty, isMail] = [true, false];
    let itself: Found | undefined;
    for await (const found of this.#read()) {
      isEmpty = false;
      isMail ||= found.kind !== 'notMail';
      if (COUNTED.has(found.kind)) this.#found += 1;
      // The first message of an mbox is at the place of the mbox.
      if (found.kind === 'notMail' && found.place === this.#place) itself = found;
      else yield found;
    }
    this.#isOver = true;
    if (!isMail && !isEmpty) {
      yield { place: this.#place, reason: 'nothing of it is mail', ...itself, kind: 'failed' };
    } else if (itself !== undefined) yield itself;
  }

  async *#read(): Reading {
    const place = this.#place;
    if (place === STDIN) {
      yield* this.#reader.read(this.#options.stdin(), { place, folder: place });
    } else if (isFolder(this.#path)) {
      yield* this.#readFolder();
    } else {
      this.#reader.files = 1;
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
    for (const walked of walk(this.#path, this.verdict)) {
      await yieldIfDue();
      if (walked.kind !== 'file') {
        yield walked;
        continue;
      }
      const { address, place, folder } = walked;
      const reading = this.#reader.readFile(address, place, folder);
      yield* survey?.older.has(place) === true ? unlessOlder(reading, place) : reading;
    }
  }

  async count(signal: AbortSignal): Promise<void> {
    if (this.#survey !== undefined) {
      const survey = await this.#survey().catch(() => undefined);
      this.#reader.files = survey?.files.get(this.#path);
      return;
    }
    if (this.#place === STDIN || !isFolder(this.#path)) return;
    let files = 0;
    for (const { kind } of walk(this.#path, this.verdict)) {
      await yieldIfDue();
      if (signal.aborted) return;
      if (kind === 'file') files += 1;
    }
    this.#reader.files = files;
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
