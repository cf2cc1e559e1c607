import { BrokenContents } from './fault.ts';
import type { Watchdog } from './watchdog.ts';
import { parseFrameHeader } from './zstd-header.ts';

/**
 * Unpacks zstd, of one frame or several, skippable ones among them (RFC 8878). It takes frames
 * apart itself and gives the decoder one block at a time, because the decoder (fzstd 0.1.1) believes
 * what a header says: it would allocate windows of 2 GB, decode all blocks of a chunk at once (128
 * KiB out of 4 bytes each), recurse for every frame, and loop for ever on some broken tables.
 * Checksums are not verified.
 *
 * @param watchdog ends a decoder that is stuck
 * @throws {BrokenContents}
 */
export async function* unzstd(
  chunks: AsyncIterable<Buffer>,
  newDecoder: NewDecoder,
  watchdog: Watchdog,
): AsyncGenerator<Buffer, void, undefined> {
  const input = new Input(chunks);
  try {
    while (await input.hasMore()) {
      const magic = (await input.take(WORD)).readUInt32LE(0);
      if (magic === FRAME) yield* frame(input, newDecoder, watchdog);
      else if (magic >>> 4 === SKIPPABLE >>> 4)
        await input.skip((await input.take(WORD)).readUInt32LE(0));
      else throw broken('no frame follows');
    }
  } finally {
    await input.close();
  }
}

/** What unpacks one frame: the decoder's class is passed in, so that one file knows the package. */
export type NewDecoder = (onOutput: (piece: Uint8Array) => void) => {
  push(bytes: Uint8Array, isFinal?: boolean): void;
};

const FRAME = 0xfd2fb528;
const SKIPPABLE = 0x184d2a50;
const WORD = 4;
const BLOCK_HEADER = 3;

async function* frame(
  input: Input,
  newDecoder: NewDecoder,
  watchdog: Watchdog,
): AsyncGenerator<Buffer, void, undefined> {
  const header = await parseFrameHeader((bytes) => input.take(bytes), broken);
  let output: Buffer[] = [];
  const decoder = newDecoder((piece) => {
    output.push(Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength));
  });
  let head = await input.take(BLOCK_HEADER);
  let unseen: Buffer = Buffer.concat([header.forDecoder, head]);
  for (;;) {
    const { isLast, bytes } = parseBlockHeader(head, header.largestBlock);
    const body = await input.take(bytes);
    const next = isLast ? undefined : await input.takeIfThere(BLOCK_HEADER);
    // One byte of the next block goes along: when nothing is left over, the decoder keeps the whole
    // chunk in memory until its frame ends.
    const block = Buffer.concat([unseen, body, next?.subarray(0, 1) ?? NOTHING]);
    decode(watchdog, () => {
      decoder.push(block, isLast);
    });
    yield* output;
    output = [];
    if (isLast) break;
    if (next === undefined) throw broken(ENDED_EARLY);
    head = next;
    unseen = next.subarray(1);
  }
  if (header.hasChecksum) await input.take(WORD);
}

const NOTHING = Buffer.alloc(0);
const ENDED_EARLY = 'unexpected end of file';
const RLE = 1;
const RESERVED = 3;

interface BlockHeader {
  readonly isLast: boolean;
  readonly bytes: number;
}

function parseBlockHeader(header: Buffer, largest: number): BlockHeader {
  const bits = header.readUIntLE(0, BLOCK_HEADER);
  const type = (bits >> 1) & 3;
  const size = bits >> 3;
  if (type === RESERVED) throw broken('a block of an unknown kind');
  if (size > largest) throw broken('a block larger than its frame allows');
  return { isLast: (bits & 1) === 1, bytes: type === RLE ? 1 : size };
}

function broken(what: string): BrokenContents {
  return new BrokenContents(`broken zstd (${what})`);
}

function decode(watchdog: Watchdog, push: () => void): void {
  try {
    if (watchdog.run(push) === 'stuck') throw broken('its decoder was stuck');
  } catch (error) {
    if (error instanceof BrokenContents) throw error;
    throw broken(error instanceof Error ? error.message : 'unknown fault');
  }
}

/** Takes bytes off a row of chunks. */
class Input {
  readonly #chunks: AsyncIterator<Buffer>;
  #rest: Buffer = NOTHING;

  constructor(chunks: AsyncIterable<Buffer>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  async hasMore(): Promise<boolean> {
    while (this.#rest.length === 0) {
      const next = await this.#chunks.next();
      if (next.done === true) return false;
      this.#rest = next.value;
    }
    return true;
  }

  /** Exactly so many bytes. */
  async take(bytes: number): Promise<Buffer> {
    const taken = await this.takeIfThere(bytes);
    if (taken === undefined) throw broken(ENDED_EARLY);
    return taken;
  }

  /** Exactly so many bytes, or nothing when there are fewer. */
  async takeIfThere(bytes: number): Promise<Buffer | undefined> {
    const pieces: Buffer[] = [];
    for (let missing = bytes; missing > 0;) {
      if (!(await this.hasMore())) return undefined;
      const piece = this.#rest.subarray(0, missing);
      this.#rest = this.#rest.subarray(piece.length);
      missing -= piece.length;
      pieces.push(piece);
    }
    const [only] = pieces;
    return pieces.length === 1 && only !== undefined ? only : Buffer.concat(pieces);
  }

  async skip(bytes: number): Promise<void> {
    for (let missing = bytes; missing > 0;) {
      if (!(await this.hasMore())) throw broken(ENDED_EARLY);
      const length = Math.min(missing, this.#rest.length);
      this.#rest = this.#rest.subarray(length);
      missing -= length;
    }
  }

  async close(): Promise<void> {
    await this.#chunks.return?.();
  }
}
