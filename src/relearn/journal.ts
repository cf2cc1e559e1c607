import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { WriteStream } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { finished } from 'node:stream/promises';
import { EXIT, OperatorError, errnoOf, isBug } from '../errors.ts';
import type { Filter } from '../filter.ts';
import { lockDescriptor } from '../spool/owner.ts';
import { clean } from '../text.ts';
import type { Verdict } from '../verdict.ts';

/**
 * The journal of a run: an append-only file with one line for each message that needs no further
 * post, so that the same command goes on where it was.
 *
 *     kopano-learnd relearn journal 2
 *     {"spam":["/archive/spam"],"ham":["/archive/ham"]}
 *     learned spam /archive/spam/KEY.eml
 *
 * The number counts how messages are named: 1 was before an mbox was split at bare From_ lines. All
 * of it is ASCII. A last line that a crash tore is cut off. One process at a time writes it.
 */
export interface JournalSources {
  readonly spam: readonly string[];
  readonly ham: readonly string[];
  /** Those of further classes, where there are any. */
  readonly further?: Readonly<Record<Verdict, readonly string[]>> | undefined;
  /** The filter that was taught, where that is not rspamd. */
  readonly trainer?: Exclude<Filter, 'rspamd'> | undefined;
  /** Whose memory learned it, where one user was named. */
  readonly user?: string | undefined;
}

/** What the file calls the results that need no further post. */
const WORDS = { learned: 'learned', duplicate: 'known', refused: 'refused' } as const;

const TITLE = 'kopano-learnd relearn journal 2';
const LINE = /^(?:learned|known|refused) [A-Za-z][A-Za-z0-9_-]* (.+)$/;

/**
 * A message in memory: 64 bits of SHA-256, which takes 47 bytes. Another one is taken for it, and so
 * passed over, once in 18 million runs that read a million messages beside a journal of a million.
 */
function hashOf(place: string): bigint {
  return createHash('sha256').update(place, 'latin1').digest().readBigUInt64LE();
}

export class Journal {
  readonly #path: string;
  readonly #done: ReadonlySet<bigint>;
  readonly #stream: WriteStream;

  private constructor(path: string, handle: FileHandle, done: ReadonlySet<bigint>) {
    this.#path = path;
    this.#done = done;
    this.#stream = handle.createWriteStream({ flush: true });
    // A journal that can't be written only makes a later run post more again: `close` says it.
    this.#stream.on('error', () => undefined);
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
      if (!stats.isFile()) throw broken(path, 1);
      if ((await lockDescriptor(handle.fd)) === 'held') throw fault('in-use', path, '');
      const { done, goodBytes } = await readJournal(path, sources);
      if (goodBytes < stats.size) await handle.truncate(goodBytes);
      if (goodBytes === 0) await handle.write(`${TITLE}\n${inOneLine(sources)}\n`);
      await handle.sync();
      return new Journal(path, handle, done);
    } catch (error) {
      await handle?.close();
      throw unusable(path, error);
    }
  }

  /**
   * Which messages a journal has, for a run that writes nothing; a missing file has none.
   * @throws {OperatorError} as {@link open}
   */
  static async peek(path: string, sources: JournalSources): Promise<(place: string) => boolean> {
    try {
      const { done } = await readJournal(path, sources);
      return (place) => done.has(hashOf(place));
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return () => false;
      throw unusable(path, error);
    }
  }

  /** True for a message that it had when it was opened. */
  has(place: string): boolean {
    return this.#done.has(hashOf(place));
  }

  /** Notes that a message needs no further post. */
  add(result: keyof typeof WORDS, verdict: Verdict, place: string): void {
    this.#stream.write(`${WORDS[result]} ${verdict} ${place}\n`);
  }

  /**
   * Writes what waits.
   * @throws {OperatorError} `journal.unusable` when something couldn't be written
   */
  async close(): Promise<void> {
    try {
      await finished(this.#stream.end());
    } catch (error) {
      throw unusable(this.#path, error);
    }
  }
}

/** @returns what is done, and how many bytes are whole: a torn heading is begun anew */
async function readJournal(path: string, sources: JournalSources) {
  const done = new Set<bigint>();
  let count = 0;
  let goodBytes = 0;
  let rest = '';
  for await (const chunk of createReadStream(path, 'latin1')) {
    const lines = (rest + String(chunk)).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      count += 1;
      goodBytes += line.length + 1;
      if (count === 2 && line !== inOneLine(sources))
        throw fault('foreign', path, `: ${clean(line, 1_000)}`);
      const place = count > 2 ? LINE.exec(line)?.[1] : undefined;
      if (place !== undefined) done.add(hashOf(place));
      else if (count > 2 || (count === 1 && line !== TITLE)) throw broken(path, count);
    }
    // Something else may have no lines at all.
    if (count === 0 && !TITLE.startsWith(rest.slice(0, TITLE.length))) throw broken(path, 1);
  }
  return { done, goodBytes: count < 2 ? 0 : goodBytes };
}

/** As ASCII: Unicode has line ends of its own. */
function inOneLine(sources: JournalSources): string {
  return JSON.stringify(sources).replace(
    /[^ -~]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

const FAULTS = {
  foreign: {
    says: 'belongs to other sources',
    hint: 'give the sources that it was begun with, in the same way and with the same LEARN_CLASSES, or another file to --journal',
    exitCode: EXIT.usage,
  },
  broken: {
    says: "is none of this kopano-learnd's relearn",
    hint: 'nothing in it was changed; give another file to --journal (a new one is made)',
    exitCode: EXIT.usage,
  },
  'in-use': {
    says: 'is being written by another run',
    hint: 'wait for that to end, or give another file to --journal',
    exitCode: EXIT.temporary,
  },
  unusable: {
    says: 'cannot be read or written',
    hint: 'give --journal a file in a folder that you may write to, on a disk with room',
    exitCode: EXIT.failure,
  },
} as const;

function fault(kind: keyof typeof FAULTS, path: string, detail: string): OperatorError {
  const { says, hint, exitCode } = FAULTS[kind];
  const message = `the journal ${clean(path)} ${says}${detail}`;
  return new OperatorError({ code: `journal.${kind}`, message, hint, exitCode });
}

function broken(path: string, line: number): OperatorError {
  return fault('broken', path, `: line ${line} is something else`);
}

/** What to throw for an error: one that has its cure, or that is this program's, stays as it is. */
function unusable(path: string, error: unknown): unknown {
  if (error instanceof OperatorError || isBug(error)) return error;
  return fault('unusable', path, ` (${errnoOf(error) ?? 'flock failed'})`);
}
