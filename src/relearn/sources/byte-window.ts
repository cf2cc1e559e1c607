import { readSync } from 'node:fs';
import { BrokenContents, faultWords } from './source.ts';
import { yieldIfDue } from '../../yield-if-due.ts';

/** A content in pieces of any size. */
export type Chunks = AsyncIterable<Buffer> | Iterable<Buffer>;

/**
 * The unread bytes of a content: as many as were asked for, in one piece, and no more in memory than
 * twice that. A content that breaks off just ends, so that what came before can be used, and `fault`
 * says why.
 */
export class ByteWindow {
  readonly #source: AsyncIterator<Buffer> | Iterator<Buffer>;
  #memory: Buffer = Buffer.alloc(0);
  #from = 0;
  #to = 0;
  #pulled = 0;
  #isOver = false;
  #fault: string | undefined;

  constructor(source: Chunks) {
    this.#source =
      Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  }

  /** The unread bytes; their memory is not written to again. */
  get bytes(): Buffer {
    return this.#memory.subarray(this.#from, this.#to);
  }

  /** How many bytes came from the content. */
  get pulled(): number {
    return this.#pulled;
  }

  /** How many of these are no longer in the window. */
  get dropped(): number {
    return this.#pulled - (this.#to - this.#from);
  }

  /** Why the content broke off; `undefined` while it didn't. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** @returns the unread bytes: at least `length`, fewer only at the end */
  async fill(length: number): Promise<Buffer> {
    while (this.#to - this.#from < length && !this.#isOver) await this.#pull();
    return this.bytes;
  }

  /** Moves the window past so many bytes. */
  drop(length: number): void {
    this.#from += length;
  }

  /**
   * The unread bytes and all that follow, for what unpacks them.
   * @throws {BrokenContents} where the content breaks off: its end must not pass for a whole one's
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, undefined> {
    for (let bytes = await this.fill(1); bytes.length > 0; bytes = await this.fill(1)) {
      this.drop(bytes.length);
      yield bytes;
    }
    if (this.#fault !== undefined) throw new BrokenContents(this.#fault);
  }

  /** Ends the content early. */
  async close(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    await this.#source.return?.();
  }

  async #pull(): Promise<void> {
    await yieldIfDue();
    // Closed meanwhile: the descriptor below it may belong to another file by now.
    if (this.#isOver) return;
    try {
      const next = await this.#source.next();
      if (next.done === true) this.#isOver = true;
      else this.#append(next.value);
    } catch (error) {
      this.#isOver = true;
      this.#fault = faultWords(error);
      if (this.#fault === undefined) throw error;
    }
  }

  #append(piece: Buffer): void {
    this.#pulled += piece.length;
    const length = this.#to - this.#from;
    if (length === 0) {
      this.#memory = piece;
      this.#from = 0;
      this.#to = piece.length;
      return;
    }
    if (this.#memory.length - this.#to < piece.length) {
      const wanted = 2 * length + piece.length;
      const larger = Buffer.allocUnsafeSlow(Math.max(CHUNK_BYTES, wanted));
      this.#memory.copy(larger, 0, this.#from, this.#to);
      this.#memory = larger;
      this.#from = 0;
      this.#to = length;
    }
    piece.copy(this.#memory, this.#to);
    this.#to += piece.length;
  }
}

const CHUNK_BYTES = 64 * 1024;

/** The bytes of an open file of `size` bytes, from its beginning; whoever opened it closes it. */
export function* chunksOfFile(fd: number, size: number): Generator<Buffer, void, undefined> {
  // One byte more shows whether a small file grew.
  const bytes = Math.min(CHUNK_BYTES, size + 1);
  for (let position = 0; ;) {
    const chunk = Buffer.allocUnsafeSlow(bytes);
    const length = readSync(fd, chunk, 0, bytes, position);
    if (length === 0) return;
    position += length;
    yield chunk.subarray(0, length);
  }
}
