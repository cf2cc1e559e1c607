import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { onDisk } from './faults.ts';

/** rspamd's own threshold: so near to a half Bayes says nothing. */
const NEAR = 0.05;
const LENGTH = 24;
const NOT_SAID = Buffer.from('-'.padEnd(LENGTH));

/**
 * What Bayes thought of a message just before it learned it, as the private rspamd says in its file
 * (`PrivateRspamd.opinionFile`): the same as it answers to who asks, and only one post a message.
 */
export class OpinionFile implements Disposable {
  readonly #fd: number;
  #isOpen = true;

  constructor(path: string) {
    this.#fd = openSync(path, 'r+');
  }

  /**
   * Forgets what it said last.
   * @throws {OperatorError} `evaluate.disk` when the disk is full
   */
  clear(): void {
    onDisk('what Bayes says of the messages', () => writeSync(this.#fd, NOT_SAID, 0, LENGTH, 0));
  }

  /** How likely spam, 0.5 where Bayes says nothing; `undefined` when rspamd hasn't said. */
  read(): number | undefined {
    const bytes = Buffer.alloc(LENGTH);
    readSync(this.#fd, bytes, 0, LENGTH, 0);
    const text = bytes.toString('latin1').trim();
    if (text === '') return 0.5;
    const probability = Number(text);
    if (!(probability >= 0 && probability <= 1)) return undefined;
    return Math.abs(probability - 0.5) > NEAR ? probability : 0.5;
  }

  /** Idempotent. */
  [Symbol.dispose](): void {
    if (this.#isOpen) closeSync(this.#fd);
    this.#isOpen = false;
  }
}
