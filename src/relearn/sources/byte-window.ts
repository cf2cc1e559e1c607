import { BrokenContents, faultWords } from './source.ts';

/**
 * The unread bytes of a content: as many as were asked for, in one piece, and no more in memory than
 * twice that. A content that breaks off just ends, so that what came before can be used, and `fault`
 * says why.
 */
export class ByteWindow {
  readonly #chunks: AsyncIterator<Buffer>;
  #memory: Buffer = Buffer.alloc(0);
  #from = 0;
  #to = 0;
  #pulled = 0;
  #isOver = false;
  #fault: string | undefined;

  constructor(chunks: AsyncIterable<Buffer>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** The unread bytes; their memory is not written to again. */
  get bytes(): Buffer {
    return this.#memory.subarray(this.#from, this.#to);
  }

  /** Which part of all that came from the content ends so many bytes into the window. */
  partUpTo(length: number): number {
    return (this.#pulled - (this.#to - this.#from) + length) / this.#pulled;
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
   * The unread bytes and all that follow.
   * @throws {BrokenContents} where the content breaks off: its end must not pass for a whole one's
   */
  async *rest(): AsyncGenerator<Buffer, void, undefined> {
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
    await this.#chunks.return?.();
  }

  async #pull(): Promise<void> {
    try {
      const next = await this.#chunks.next();
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
      const larger = Buffer.allocUnsafeSlow(2 * length + piece.length);
      this.#memory.copy(larger, 0, this.#from, this.#to);
      this.#memory = larger;
      this.#from = 0;
      this.#to = length;
    }
    piece.copy(this.#memory, this.#to);
    this.#to += piece.length;
  }
}
