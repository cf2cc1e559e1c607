import { randomUUID } from 'node:crypto';
import {
  closeSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { errnoOf } from '../errors.ts';
import { outputFault } from './faults.ts';

/**
 * A file that is there in full or not at all: it is written beside its place, under a name of its own,
 * and renamed. Whether it can be is known from the start, before an hour of work. What is no file, such
 * as /dev/null, is not put out of its place.
 */
export class OutputFile implements Disposable {
  readonly #named: string;
  readonly #path: string;
  readonly #temporary: string;

  /** @throws {OperatorError} `evaluate.output` when it can't be written there */
  constructor(named: string) {
    this.#named = named;
    this.#path = this.#told(() => targetOf(named));
    // A process that was killed, and had the same number, may have left its own.
    this.#temporary = join(dirname(this.#path), `.kopano-learnd-${randomUUID()}`);
    this.#told(() => closeSync(openSync(this.#temporary, 'wx')));
  }

  /**
   * Writes it and puts it in its place.
   * @throws {OperatorError} `evaluate.output`; what stood there before still does
   */
  publish(content: string | Buffer): void {
    this.#told(() => {
      writeFileSync(this.#temporary, content, { flush: true });
      renameSync(this.#temporary, this.#path);
    });
  }

  /** Leaves nothing behind that wasn't published. */
  [Symbol.dispose](): void {
    rmSync(this.#temporary, { force: true });
  }

  #told<T>(act: () => T): T {
    try {
      return act();
    } catch (error) {
      const code = errnoOf(error);
      throw code === undefined ? error : outputFault(this.#named, code);
    }
  }
}

/** Where symlinks lead, which stay. */
function targetOf(path: string): string {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return resolve(path);
  if (!stats.isFile())
    throw outputFault(path, stats.isDirectory() ? 'a folder' : 'no regular file');
  return realpathSync(path);
}
