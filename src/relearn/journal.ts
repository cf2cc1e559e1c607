import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { EXIT, OperatorError, errnoOf, isBug } from '../errors.ts';
import { lockDescriptor } from '../spool/owner.ts';
import { clean } from '../text.ts';
import type { Verdict } from '../verdict.ts';

/**
 * The journal of a run: an append-only file with one line for each message that needs no further
 * post, so that the same command goes on where it was. A line is written once its message is proven,
 * a duplicate (`known`) or refused, and synced within a quarter of a second.
 *
 *     kopano-learnd relearn journal 2
 *     {"spam":["/archive/spam"],"ham":["/archive/ham"]}
 *     learned spam /archive/spam/KEY.eml
 *
 * The number counts how messages are named: 1 was before an mbox was split at bare From_ lines. All
 * of it is ASCII. A last line that a crash tore is cut off. One process at a time writes it.
 */
export type JournalSources = Readonly<Record<Verdict, readonly string[]>>;

/** What the file calls the results that need no further post. */
const WORDS = { learned: 'learned', duplicate: 'known', refused: 'refused' } as const;

const TITLE = 'kopano-learnd relearn journal 2';
const LINE = /^(?:learned|known|refused) (?:spam|ham) (.+)$/;
/** Lines are gathered for this long before they are synced together. */
const GATHER_MS = 250;

export class Journal {
  readonly #path: string;
  readonly #handle: FileHandle;
  readonly #done: ReadonlySet<string>;
  #waiting = '';
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();
  #fault: unknown;

  private constructor(path: string, handle: FileHandle, done: ReadonlySet<string>) {
    this.#path = path;
    this.#handle = handle;
    this.#done = done;
  }

  /**
   * Opens a journal, or begins one.
   * @throws {OperatorError} `journal.*` when the file can't be used, is something else, belongs to
   *   other sources or to a run that is going on
   */
  static async open(path: string, sources: JournalSources): Promise<Journal> {
    let handle: FileHandle | undefined;
    try {
      handle = await open(path, 'a+', 0o600);
      const stats = await handle.stat();
      if (!stats.isFile()) throw notAJournal(path);
      if ((await lockDescriptor(handle.fd)) === 'held') throw inUse(path);
      const { done, goodBytes } = await readJournal(path, sources);
      if (goodBytes < stats.size) await handle.truncate(goodBytes);
      if (goodBytes === 0) await handle.write(`${TITLE}\n${inOneLine(sources)}\n`);
      await handle.sync();
      return new Journal(path, handle, done);
    } catch (error) {
      await handle?.close();
      throw error instanceof OperatorError ? error : unusable(path, error);
    }
  }

  /**
   * Which messages a journal has, for a run that writes nothing.
   * @throws {OperatorError} as {@link open}; a missing file has nothing
   */
  static async peek(path: string, sources: JournalSources): Promise<ReadonlySet<string>> {
    try {
      return (await readJournal(path, sources)).done;
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return new Set<string>();
      throw error instanceof OperatorError ? error : unusable(path, error);
    }
  }

  /** True for a message that it had when it was opened. */
  has(place: string): boolean {
    return this.#done.has(place);
  }

  /** Notes that a message needs no further post. */
  add(result: keyof typeof WORDS, verdict: Verdict, place: string): void {
    this.#waiting += `${WORDS[result]} ${verdict} ${place}\n`;
    this.#timer ??= setTimeout(() => {
      this.#write();
    }, GATHER_MS);
  }

  /**
   * Writes what waits.
   * @throws {OperatorError} `journal.unusable` when something couldn't be written
   */
  async close(): Promise<void> {
    this.#write();
    await this.#writing;
    await this.#handle.close();
    if (this.#fault !== undefined) throw unusable(this.#path, this.#fault);
  }

  #write(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const text = this.#waiting;
    this.#waiting = '';
    this.#writing = this.#writing.then(() => this.#append(text));
  }

  /** A journal that can't be written only makes a later run post more again. */
  async #append(text: string): Promise<void> {
    if (text === '' || this.#fault !== undefined) return;
    try {
      await this.#handle.appendFile(text);
      await this.#handle.datasync();
    } catch (error) {
      this.#fault = error;
    }
  }
}

/** What is in a journal, and how much of it is whole: a torn heading is begun anew. */
async function readJournal(
  path: string,
  sources: JournalSources,
): Promise<{ readonly done: ReadonlySet<string>; readonly goodBytes: number }> {
  const heading = [TITLE, inOneLine(sources)];
  const done = new Set<string>();
  let count = 0;
  let goodBytes = 0;
  let rest = '';
  for await (const chunk of createReadStream(path, 'latin1')) {
    const lines = (rest + String(chunk)).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (count < heading.length) {
        if (line !== heading[count]) throw count === 0 ? notAJournal(path) : foreign(path, line);
      } else {
        const place = LINE.exec(line)?.[1];
        if (place === undefined) throw notAJournal(path, count + 1);
        done.add(place);
      }
      count += 1;
      goodBytes += line.length + 1;
    }
    // Something else may have no lines at all.
    if (count === 0 && !TITLE.startsWith(rest.slice(0, TITLE.length))) throw notAJournal(path);
  }
  return { done, goodBytes: count < heading.length ? 0 : goodBytes };
}

/** As ASCII: Unicode has line ends of its own. */
function inOneLine(sources: JournalSources): string {
  return JSON.stringify(sources).replace(
    /[^ -~]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function foreign(path: string, line: string): OperatorError {
  return new OperatorError({
    code: 'journal.foreign',
    message: `the journal ${clean(path)} belongs to other sources: ${clean(line, 1_000)}`,
    hint: 'give the sources that it was begun with, in the same way, or another file to --journal',
    exitCode: EXIT.usage,
  });
}

function notAJournal(path: string, line = 1): OperatorError {
  return new OperatorError({
    code: 'journal.broken',
    message: `${clean(path)} is not a journal of this kopano-learnd's relearn: line ${line} is something else`,
    hint: 'nothing in it was changed; give another file to --journal (a new one is made)',
    exitCode: EXIT.usage,
  });
}

function inUse(path: string): OperatorError {
  return new OperatorError({
    code: 'journal.in-use',
    message: `another run is writing the journal ${clean(path)}`,
    hint: 'wait for it to end, or give another file to --journal',
    exitCode: EXIT.temporary,
  });
}

/** @throws the error, where it is one of this program */
function unusable(path: string, error: unknown): OperatorError {
  if (isBug(error)) throw error;
  const why = errnoOf(error) ?? (error instanceof Error ? clean(error.message) : 'unknown error');
  return new OperatorError({
    code: 'journal.unusable',
    message: `the journal ${clean(path)} cannot be read or written (${why})`,
    hint: 'give --journal a file in a folder that you may write to, on a disk with room',
    exitCode: EXIT.failure,
  });
}
