import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { EXIT, OperatorError, errnoOf, isBug } from '../errors.ts';
import { NameSet } from './sources/name-set.ts';
import { lockDescriptor } from '../spool/owner.ts';
import type { Verdict } from '../verdict.ts';
import { clean } from '../text.ts';

/**
 * The journal of a run: an append-only file with one line for each message that needs no further
 * post, so that the same command goes on where it was. A line is written once its message is proven,
 * known or refused, and synced within a quarter of a second.
 *
 *     kopano-learnd relearn journal 2
 *     {"spam":["/archive/spam"],"ham":["/archive/ham"]}
 *     learned spam /archive/spam/KEY.eml
 *
 * The number counts how messages are named: 1 was before an mbox was split at bare From_ lines.
 *
 * A last line that a crash tore is cut off. One process at a time writes it.
 */
export type JournalSources = Readonly<Record<Verdict, readonly string[]>>;

export type JournaledFate = 'learned' | 'known' | 'refused';

const TITLE = 'kopano-learnd relearn journal 2';
const LINE = /^(?:learned|known|refused) (?:spam|ham) (.+)$/;
/** Lines are gathered for this long before they are synced together. */
const GATHER_MS = 250;

export class Journal {
  readonly path: string;
  readonly #handle: FileHandle;
  readonly #done: NameSet;
  #waiting: string[] = [];
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();
  #fault: unknown;

  private constructor(path: string, handle: FileHandle, done: NameSet) {
    this.path = path;
    this.#handle = handle;
    this.#done = done;
  }

  /**
   * Opens a journal, or begins one.
   * @throws {OperatorError} `journal.*` when the file can't be used, is something else, belongs to
   *   other sources or to a run that is going on
   */
  static async open(path: string, sources: JournalSources): Promise<Journal> {
    let handle: FileHandle;
    try {
      handle = await open(path, 'a+', 0o600);
    } catch (error) {
      throw unusable(path, error);
    }
    try {
      if (!(await handle.stat()).isFile()) throw notAJournal(path);
      if ((await lockDescriptor(handle.fd)) === 'held') throw inUse(path);
      const done = await Journal.#load(path, handle, sources);
      return new Journal(path, handle, done);
    } catch (error) {
      await handle.close();
      throw error instanceof OperatorError ? error : unusable(path, error);
    }
  }

  /**
   * Which messages a journal has, for a run that writes nothing.
   * @throws {OperatorError} as {@link open}; a missing file has nothing
   */
  static async peek(path: string, sources: JournalSources): Promise<NameSet> {
    try {
      return (await readLines(path, sources)).done;
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return new NameSet();
      throw error instanceof OperatorError ? error : unusable(path, error);
    }
  }

  static async #load(path: string, handle: FileHandle, sources: JournalSources): Promise<NameSet> {
    const { size } = await handle.stat();
    const { done, goodBytes } = await readLines(path, sources);
    if (goodBytes < size) await handle.truncate(goodBytes);
    if (goodBytes === 0) await handle.write(`${TITLE}\n${inOneLine(sources)}\n`);
    await handle.sync();
    return done;
  }

  /** Messages that it had when it was opened. */
  get doneBefore(): number {
    return this.#done.size;
  }

  has(place: string): boolean {
    return this.#done.has(place);
  }

  /** Notes that a message needs no further post. */
  add(fate: JournaledFate, verdict: Verdict, place: string): void {
    this.#waiting.push(`${fate} ${verdict} ${place}\n`);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#write();
    }, GATHER_MS);
  }

  /**
   * Writes what waits.
   * @throws {OperatorError} `journal.unusable` when something couldn't be written
   */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#write();
    await this.#writing;
    await this.#handle.close();
    if (this.#fault !== undefined) throw unusable(this.path, this.#fault);
  }

  #write(): void {
    const text = this.#waiting.join('');
    this.#waiting = [];
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

/** What is in a journal, and how much of it is whole. */
async function readLines(
  path: string,
  sources: JournalSources,
): Promise<{ readonly done: NameSet; readonly goodBytes: number }> {
  await checkBeginning(path);
  const done = new NameSet();
  let goodBytes = 0;
  let pending: string | undefined;
  let count = 0;
  const take = (line: string): void => {
    count += 1;
    if (count === 1) {
      if (line !== TITLE) throw notAJournal(path);
    } else if (count === 2) checkSources(path, line, sources);
    else {
      const place = LINE.exec(line)?.[1];
      if (place === undefined) throw notAJournal(path, count);
      done.add(place);
    }
    goodBytes += Buffer.byteLength(line) + 1;
  };
  const input = createReadStream(path);
  // One line behind: whether the last one is whole shows only at the end.
  for await (const line of createInterface({ input, crlfDelay: Infinity })) {
    if (pending !== undefined) take(pending);
    pending = line;
  }
  if (pending === undefined) return { done, goodBytes };
  if (await endsWithNewline(path)) take(pending);
  // A torn heading is begun anew.
  return { done, goodBytes: count < 2 ? 0 : goodBytes };
}

/** Before a line is read: something else may have no lines at all. */
async function checkBeginning(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(TITLE.length), 0);
    if (!TITLE.startsWith(buffer.toString('latin1', 0, bytesRead))) throw notAJournal(path);
  } finally {
    await handle.close();
  }
}

async function endsWithNewline(path: string): Promise<boolean> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    const last = Buffer.alloc(1);
    await handle.read(last, 0, 1, Math.max(0, size - 1));
    return last.toString('latin1') === '\n';
  } finally {
    await handle.close();
  }
}

/** As ASCII: Unicode has line ends of its own. */
function inOneLine(sources: JournalSources): string {
  return JSON.stringify(sources).replace(
    /[^ -~]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function checkSources(path: string, line: string, sources: JournalSources): void {
  if (line === inOneLine(sources)) return;
  throw new OperatorError({
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
