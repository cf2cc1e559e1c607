import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { basename } from 'node:path/posix';
import { clean } from '../../text.ts';
import type { Verdict } from '../../verdict.ts';
import { ContentReader } from './content-reader.ts';
import { forEachFile, orNoMail, readFolder } from './folder.ts';
import { nodePathOf, encodePlace, rawPathOf, STDIN } from './place.ts';
import { SizeEstimate } from './size-estimate.ts';
import { REASON, faultWords } from './source.ts';
import type { Reading, ReadingOptions, Source } from './source.ts';
import { isTrashed } from './walk.ts';

/**
 * One PATH of the command line: a message file, an mbox, a folder of them or a Maildir, any of the
 * files packed; or `-`. What it is shows when it is read. The path itself may be a symlink; those
 * inside a folder are not followed.
 */
export class PathSource implements Source {
  readonly name: string;
  readonly verdict: Verdict;
  readonly #path: string;
  readonly #options: ReadingOptions;
  readonly #estimate = new SizeEstimate();
  readonly #reader: ContentReader;

  constructor(path: string, verdict: Verdict, options: ReadingOptions) {
    this.name = path === STDIN ? 'standard input' : clean(path);
    this.verdict = verdict;
    this.#path = path === STDIN ? STDIN : rawPathOf(path);
    this.#options = options;
    this.#reader = new ContentReader(options, verdict, this.#estimate);
  }

  get expected(): number | undefined {
    return this.#estimate.expected;
  }

  read(): Reading {
    const place = encodePlace(this.#path);
    return orNoMail(this.#read(place), place);
  }

  async *#read(place: string): Reading {
    if (place !== STDIN) yield* this.#readPath(place);
    else yield* this.#reader.readStream(this.#options.stdin(), STDIN);
    this.#estimate.over();
  }

  async *#readPath(place: string): Reading {
    const estimate = this.#estimate;
    const reader = this.#reader;
    let fd: number;
    try {
      fd = openSync(nodePathOf(this.#path), constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (error) {
      const reason = faultWords(error);
      if (reason === undefined) throw error;
      yield { kind: 'failed', place, reason };
      return;
    }
    const stats = fstatSync(fd);
    if (stats.isDirectory()) {
      yield* readFolder({ path: this.#path, verdict: this.verdict, fd }, { reader, estimate });
    } else if (stats.isFile() && !isTrashed(basename(this.#path))) {
      estimate.counted(1);
      estimate.fileBegins();
      yield* reader.readOpen(fd, place);
    } else {
      closeSync(fd);
      yield stats.isFile()
        ? { kind: 'passed', place, reason: REASON.trashed }
        : { kind: 'failed', place, reason: REASON.notRegular };
    }
  }

  async count(signal: AbortSignal): Promise<void> {
    const { O_RDONLY, O_DIRECTORY, O_NONBLOCK } = constants;
    if (this.#path === STDIN) return;
    let fd: number;
    try {
      fd = openSync(nodePathOf(this.#path), O_RDONLY | O_DIRECTORY | O_NONBLOCK);
    } catch {
      // No folder, or none that opens: the reading says it.
      return;
    }
    let files = 0;
    await forEachFile({ path: this.#path, verdict: this.verdict, fd }, signal, () => {
      files += 1;
    });
    if (!signal.aborted) this.#estimate.counted(files);
  }
}
