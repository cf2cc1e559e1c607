import { closeSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, basename } from 'node:path';
import { EXIT, OperatorError, errnoOf } from '../errors.ts';
import { clean } from '../text.ts';

/**
 * A file that is there in full or not at all: it is written beside its place, under a name of its own,
 * and renamed. Whether it can be is known from the start, before an hour of work.
 */
export class OutputFile implements Disposable {
  readonly #path: string;
  readonly #temporary: string;

  /** @throws {OperatorError} `evaluate.output` when it can't be written there */
  constructor(path: string) {
    this.#path = path;
    this.#temporary = join(dirname(path), `.${basename(path)}.${process.pid}`);
    this.#told(() => {
      closeSync(openSync(this.#temporary, 'wx'));
    });
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

  #told(act: () => void): void {
    try {
      act();
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
      throw new OperatorError({
        code: 'evaluate.output',
        message: `${clean(this.#path, 1_000)} can't be written (${errnoOf(error) ?? ''})`,
        hint: `name a file in a folder that this user (uid ${process.geteuid?.() ?? 0}) may write to and that has room`,
        exitCode: EXIT.failure,
      });
    }
  }
}
