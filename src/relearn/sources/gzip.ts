import { createGunzip, gunzipSync } from 'node:zlib';
import type { Gunzip } from 'node:zlib';
import { BrokenContents } from './fault.ts';

/**
 * Unpacks gzip, of one member or several. What came out before a break is given out before the
 * fault is thrown, which neither `pipeline` nor a stream's own iterator do: they drop what a broken
 * stream still holds.
 *
 * @throws {BrokenContents}
 */
export async function* gunzip(
  chunks: AsyncIterable<Buffer>,
): AsyncGenerator<Buffer, void, undefined> {
  const unpacker = new Unpacker();
  try {
    for await (const chunk of chunks) {
      unpacker.feed(chunk);
      yield* unpacker.drain();
    }
    unpacker.end();
    yield* unpacker.drain();
  } finally {
    unpacker.close();
  }
}

/**
 * Unpacks a small content at once, a tenth of what a stream costs.
 * @returns `undefined` when it is broken, or gives more than `maxBytes`: for a stream to tell
 */
export function gunzipSmall(content: Buffer, maxBytes: number): Buffer | undefined {
  try {
    return gunzipSync(content, { maxOutputLength: maxBytes });
  } catch {
    return undefined;
  }
}

/** Holds at most one piece of output at a time: the stream rests until that is taken. */
class Unpacker {
  readonly #stream: Gunzip = createGunzip();
  readonly #ready: Buffer[] = [];
  #isHungry = true;
  #isOver = false;
  #fault: Error | undefined;
  #wake: (() => void) | undefined;

  constructor() {
    this.#stream.on('data', (piece: Buffer) => {
      this.#ready.push(piece);
      this.#stream.pause();
      this.#wake?.();
    });
    this.#stream.on('end', () => {
      this.#isOver = true;
      this.#wake?.();
    });
    this.#stream.on('error', (error) => {
      this.#fault = error;
      this.#wake?.();
    });
  }

  feed(chunk: Buffer): void {
    if (this.#isOver) return;
    this.#isHungry = false;
    this.#stream.write(chunk, () => {
      this.#isHungry = true;
      this.#wake?.();
    });
  }

  /** Only when all chunks went through: with the end in sight a broken one loses its output. */
  end(): void {
    this.#isHungry = false;
    this.#stream.end();
  }

  close(): void {
    this.#stream.destroy();
  }

  /** What comes out until the next chunk is wanted, or nothing more comes. */
  async *drain(): AsyncGenerator<Buffer, void, undefined> {
    for (;;) {
      const piece = this.#ready.shift();
      if (piece !== undefined) {
        yield piece;
        continue;
      }
      if (this.#fault !== undefined) {
        throw new BrokenContents(`broken gzip (${this.#fault.message})`, { cause: this.#fault });
      }
      if (this.#isOver || this.#isHungry) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        this.#stream.resume();
      });
      this.#wake = undefined;
    }
  }
}
