import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { basename } from 'node:path/posix';
import type { Verdict } from '../../verdict.ts';
import { clean } from '../../text.ts';
import { wordsOf } from './fault.ts';
import { countFiles, orNoMail, readFolder } from './folder-reading.ts';
import { MessageReader } from './message-reader.ts';
import { addressOf, encodePlace, rawPathOf, STDIN } from './place.ts';
import { REASON } from './source.ts';
import type { Found, ReadingOptions, Source } from './source.ts';
import { Tally } from './tally.ts';
import { isTrashed } from './walk.ts';

/**
 * One PATH of the command line: a message file, an mbox, a folder of them or a Maildir, any of the
 * files packed; or `-`. What it is shows when it is read. The path itself may be a symlink; those
 * inside a folder are not followed.
 */
export function pathSource(path: string, verdict: Verdict, options: ReadingOptions): Source {
  return path === STDIN
    ? new StdinSource(verdict, options)
    : new PathSource(path, verdict, options);
}

const { O_RDONLY, O_DIRECTORY, O_NONBLOCK } = constants;

class PathSource implements Source {
  readonly name: string;
  readonly verdict: Verdict;
  readonly #path: string;
  readonly #options: ReadingOptions;
  readonly #tally = new Tally();

  constructor(path: string, verdict: Verdict, options: ReadingOptions) {
    this.name = clean(path);
    this.verdict = verdict;
    this.#path = rawPathOf(path);
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
    try {
      const fd = openSync(addressOf(this.#path), O_RDONLY | O_NONBLOCK);
      const stats = fstatSync(fd);
      if (stats.isDirectory()) {
        const tally = this.#tally;
        const reader = new MessageReader(this.#options, this.verdict, tally);
        yield* readFolder({ path: this.#path, verdict: this.verdict, fd }, { reader, tally });
      } else if (stats.isFile() && !isTrashed(basename(this.#path))) {
        yield* this.#readFile(fd, place);
      } else {
        closeSync(fd);
        yield stats.isFile()
          ? { kind: 'passed', place, reason: REASON.trashed }
          : { kind: 'failed', place, reason: REASON.notRegular };
      }
    } catch (error) {
      const reason = wordsOf(error);
      if (reason === undefined) throw error;
      yield { kind: 'failed', place, reason };
    }
    this.#tally.over();
  }

  #readFile(fd: number, place: string): AsyncGenerator<Found, void, undefined> {
    const reader = new MessageReader(this.#options, this.verdict, this.#tally);
    const reading = reader.readOpen(fd, place);
    return tallied('kind' in reading ? [reading] : reading, this.#tally);
  }

  async count(signal: AbortSignal): Promise<void> {
    let fd: number;
    try {
      fd = openSync(addressOf(this.#path), O_RDONLY | O_DIRECTORY | O_NONBLOCK);
    } catch {
      // No folder, or none that opens: the reading says it.
      return;
    }
    const files = await countFiles({ path: this.#path, verdict: this.verdict, fd }, signal);
    if (files !== undefined) this.#tally.counted(files);
  }
}

class StdinSource implements Source {
  readonly name = 'standard input';
  readonly verdict: Verdict;
  readonly #options: ReadingOptions;
  readonly #tally = new Tally();
  #isRead = false;

  constructor(verdict: Verdict, options: ReadingOptions) {
    this.verdict = verdict;
    this.#options = options;
  }

  get expected(): number | undefined {
    return this.#isRead ? this.#tally.expected : undefined;
  }

  read(): AsyncGenerator<Found, void, undefined> {
    return orNoMail(this.#read(), STDIN);
  }

  async *#read(): AsyncGenerator<Found, void, undefined> {
    const reader = new MessageReader(this.#options, this.verdict, this.#tally);
    yield* tallied(reader.readStream(this.#options.stdin(), STDIN), this.#tally);
    this.#tally.over();
    this.#isRead = true;
  }

  count(): Promise<void> {
    return Promise.resolve();
  }
}

/** A single file, which is known to hold something as soon as something was found in it. */
async function* tallied(
  reading: AsyncIterable<Found> | Iterable<Found>,
  tally: Tally,
): AsyncGenerator<Found, void, undefined> {
  tally.file();
  for await (const found of reading) {
    tally.counted(1);
    tally.add(found);
    yield found;
  }
}
