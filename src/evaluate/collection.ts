import { closeSync, constants, openSync, readSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { BaseVerdict } from '../verdict.ts';
import type { MessageFacts } from './facts.ts';
import { onDisk } from './faults.ts';

/** A message of the collection: its number, from 0. */
export type Message = number;

/** What tells a message from others; 0 says nothing. */
type Keys = Pick<MessageFacts, 'idKey' | 'contentKey' | 'senderKey'>;

/** What lies on the disk. */
const WHAT = 'the copies of the messages';

/** What is shown of a message. */
export interface Note extends Pick<MessageFacts, 'sender' | 'subject'> {
  readonly place: string;
  /** Its place holds it alone: no mbox, whose first message is at the place of the whole. */
  readonly isAlone: boolean;
}

/**
 * The messages of an evaluation. Each is judged and taught many times and may have come from standard
 * input, so that a copy of it lies in one file of the temporary folder. The file has no name any more
 * once it is open: it is gone with this process, however that ends. In memory lies a number a column:
 * with an object for each message 40,000 of them took 10 MB more.
 */
export class Collection {
  readonly idKeys: number[] = [];
  readonly contentKeys: number[] = [];
  readonly #verdicts: BaseVerdict[] = [];
  readonly #times: number[] = [];
  readonly #senderKeys: number[] = [];
  readonly #starts: number[] = [];
  readonly #noteBytes: number[] = [];
  readonly #bodyBytes: number[] = [];
  readonly #fd: number;
  #end = 0;

  /** @throws {OperatorError} `evaluate.disk` when there can be no file in `folder` */
  constructor(folder: string) {
    const path = join(folder, 'messages');
    const { O_RDWR, O_CREAT, O_EXCL } = constants;
    this.#fd = onDisk(WHAT, () => openSync(path, O_RDWR | O_CREAT | O_EXCL, 0o600));
    unlinkSync(path);
  }

  /**
   * Keeps a message.
   * @param time milliseconds since the epoch, by which it is put in order
   * @throws {OperatorError} `evaluate.disk` when the disk is full
   */
  add(verdict: BaseVerdict, body: Buffer, time: number, note: Note, keys: Keys): void {
    const text = Buffer.from(JSON.stringify(note));
    this.#starts.push(this.#end);
    this.#noteBytes.push(text.length);
    this.#bodyBytes.push(body.length);
    this.#verdicts.push(verdict);
    this.#times.push(time);
    this.idKeys.push(keys.idKey);
    this.contentKeys.push(keys.contentKey);
    this.#senderKeys.push(keys.senderKey);
    onDisk(WHAT, () => {
      this.#append(text);
      this.#append(body);
    });
  }

  /** All of them, in the order in which they were read. */
  get messages(): readonly Message[] {
    return [...this.#verdicts.keys()];
  }

  get size(): number {
    return this.#verdicts.length;
  }

  verdict(message: Message): BaseVerdict {
    return at(this.#verdicts, message);
  }

  time(message: Message): number {
    return at(this.#times, message);
  }

  senderKey(message: Message): number {
    return at(this.#senderKeys, message);
  }

  body(message: Message): Buffer {
    const start = at(this.#starts, message) + at(this.#noteBytes, message);
    return this.#read(start, at(this.#bodyBytes, message));
  }

  note(message: Message): Note {
    const text = this.#read(at(this.#starts, message), at(this.#noteBytes, message));
    return JSON.parse(text.toString()) as Note;
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

/** @throws {RangeError} for a place that holds nothing */
function at<T>(column: readonly T[], place: number): T {
  const value = column[place];
  if (value === undefined) throw new RangeError(`there is no message ${place}`);
  return value;
}

export function otherVerdict(verdict: BaseVerdict): BaseVerdict {
  return verdict === 'spam' ? 'ham' : 'spam';
}
