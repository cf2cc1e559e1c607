import { closeSync, constants, openSync, readSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Verdict } from './two-classes.ts';
import { Column } from './column.ts';
import type { MessageFacts } from './facts.ts';

/**
 * The messages of an evaluation. Each is judged and taught many times and may have come from standard
 * input, so that a copy of it lies in one file of the temporary folder; in memory a message takes some
 * sixty bytes. The file has no name any more once it is open: it is gone with this process, however
 * that ends.
 */
export class Collection {
  readonly #fd: number;
  #end = 0;
  readonly #starts = new Column();
  readonly #noteBytes = new Column();
  readonly #bodyBytes = new Column();
  readonly #isSpam = new Column();
  readonly #times = new Column();
  readonly #idKeys = new Column();
  readonly #contentKeys = new Column();
  readonly #senderKeys = new Column();

  /** @throws the system's error when there can be no file in `folder` */
  constructor(folder: string) {
    const path = join(folder, 'messages');
    const { O_RDWR, O_CREAT, O_EXCL } = constants;
    this.#fd = openSync(path, O_RDWR | O_CREAT | O_EXCL, 0o600);
    unlinkSync(path);
  }

  /**
   * Keeps a message.
   * @param time milliseconds since the epoch, by which it is put in order
   * @throws the system's error when the disk is full
   */
  add(verdict: Verdict, body: Buffer, time: number, note: Note, facts: Keys): void {
    const text = Buffer.from(JSON.stringify(note));
    this.#starts.push(this.#end);
    this.#noteBytes.push(text.length);
    this.#bodyBytes.push(body.length);
    this.#isSpam.push(verdict === 'spam' ? 1 : 0);
    this.#times.push(time);
    this.#idKeys.push(facts.idKey);
    this.#contentKeys.push(facts.contentKey);
    this.#senderKeys.push(facts.senderKey);
    this.#append(text);
    this.#append(body);
  }

  get size(): number {
    return this.#starts.length;
  }

  verdict(index: number): Verdict {
    return this.#isSpam.at(index) === 1 ? 'spam' : 'ham';
  }

  body(index: number): Buffer {
    const start = this.#starts.at(index) + this.#noteBytes.at(index);
    return this.#read(start, this.#bodyBytes.at(index));
  }

  note(index: number): Note {
    const text = this.#read(this.#starts.at(index), this.#noteBytes.at(index));
    return JSON.parse(text.toString()) as Note;
  }

  time(index: number): number {
    return this.#times.at(index);
  }

  get idKeys(): Float64Array {
    return this.#idKeys.values;
  }

  get contentKeys(): Float64Array {
    return this.#contentKeys.values;
  }

  get senderKeys(): Float64Array {
    return this.#senderKeys.values;
  }

  close(): void {
    closeSync(this.#fd);
  }

  #append(bytes: Buffer): void {
    for (let written = 0; written < bytes.length;) {
      const count = writeSync(this.#fd, bytes, written, bytes.length - written, this.#end);
      written += count;
      this.#end += count;
    }
  }

  #read(start: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafeSlow(length);
    for (let read = 0; read < length;) {
      const count = readSync(this.#fd, bytes, read, length - read, start + read);
      if (count === 0) throw new Error('the file of messages is shorter than what was written');
      read += count;
    }
    return bytes;
  }
}

type Keys = Pick<MessageFacts, 'idKey' | 'contentKey' | 'senderKey'>;

/** What is shown of a message. */
export interface Note extends Pick<MessageFacts, 'sender' | 'subject'> {
  readonly place: string;
  /** Its place holds it alone: no mbox, whose first message is at the place of the whole. */
  readonly isAlone: boolean;
}
