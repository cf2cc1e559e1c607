import { closeSync, readSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { BrokenContents, wordsOf } from './fault.ts';

/**
 * A content as a row of chunks that never throws: where it breaks off it ends, and `fault` says why.
 * So what came before can be used.
 */
export class Chunks {
  readonly #source: AsyncIterator<Buffer>;
  #head: Buffer | undefined;
  #isOver = false;
  #fault: string | undefined;

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Why the content broke off; `undefined` while it didn't. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** The first `bytes` bytes or some more, less only at the end; `next` gives them once more. */
  async head(bytes: number): Promise<Buffer> {
    const pieces: Buffer[] = [];
    let length = 0;
    while (length < bytes) {
      const piece = await this.next();
      if (piece === undefined) break;
      pieces.push(piece);
      length += piece.length;
    }
    this.#head = pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces);
    return this.#head;
  }

  async next(): Promise<Buffer | undefined> {
    const head = this.#head;
    this.#head = undefined;
    if (head !== undefined && head.length > 0) return head;
    while (!this.#isOver) {
      const piece = await this.#pull();
      if (piece === undefined) this.#isOver = true;
      else if (piece.length > 0) return piece;
    }
    return undefined;
  }

  /**
   * The rest of it, for who unpacks it.
   * @throws {BrokenContents} where it breaks off: its end must not pass for the content's
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, undefined> {
    for (let chunk = await this.next(); chunk !== undefined; chunk = await this.next()) yield chunk;
    if (this.#fault !== undefined) throw new BrokenContents(this.#fault);
  }

  /** Ends the source early. */
  async close(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    await this.#source.return?.();
  }

  async #pull(): Promise<Buffer | undefined> {
    try {
      const next = await this.#source.next();
      return next.done === true ? undefined : next.value;
    } catch (error) {
      this.#fault = wordsOf(error);
      if (this.#fault === undefined) throw error;
      return undefined;
    }
  }
}

const CHUNK_BYTES = 64 * 1024;
/** Chunks between two breaths of the event loop. */
const BREATH = 16;

/** How much of a file was read; undefined for what has no length. */
export interface Position {
  bytes: number;
  readonly size: number | undefined;
}

/** Reads on from an open file, which it closes when it is over. */
export async function* chunksOfFile(
  fd: number,
  position: Position,
): AsyncGenerator<Buffer, void, undefined> {
  try {
    for (let count = 1; ; count += 1) {
      const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
      const length = readSync(fd, chunk, 0, CHUNK_BYTES, position.bytes);
      if (length === 0) return;
      position.bytes += length;
      yield length === CHUNK_BYTES ? chunk : chunk.subarray(0, length);
      if (count % BREATH === 0) await setImmediate();
    }
  } finally {
    closeSync(fd);
  }
}
