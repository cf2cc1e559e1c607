import { Decompress } from 'fzstd';
import { gunzip } from './gzip.ts';
import { Watchdog } from './watchdog.ts';
import { unzstd } from './zstd.ts';

/**
 * How a content is packed, told by its first bytes (names lie), and its unpacking. What is packed
 * twice stays packed: then it isn't mail.
 */
export type Packing = 'none' | 'gzip' | 'zstd';

const GZIP = Buffer.from([0x1f, 0x8b]);
const ZSTD = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);
// a skippable frame may come first
const ZSTD_SKIPPABLE = Buffer.from([0x2a, 0x4d, 0x18]);

export const MAGIC_BYTES = 4;

export function packingOf(head: Buffer): Packing {
  if (head.subarray(0, 2).equals(GZIP)) return 'gzip';
  if (head.subarray(0, 4).equals(ZSTD)) return 'zstd';
  const [first = 0] = head;
  if (first >> 4 === 5 && head.subarray(1, 4).equals(ZSTD_SKIPPABLE)) return 'zstd';
  return 'none';
}

/** Unpacks one content after the other. */
export class Unpacker {
  #watchdog: Watchdog | undefined;

  /** @throws {BrokenContents} from the row of chunks, after what could be unpacked */
  unpack(chunks: AsyncIterable<Buffer>, packing: Packing): AsyncIterable<Buffer> {
    switch (packing) {
      case 'none':
        return chunks;
      case 'gzip':
        return gunzip(chunks);
      case 'zstd':
        this.#watchdog ??= new Watchdog();
        return unzstd(chunks, (onOutput) => new Decompress(onOutput), this.#watchdog);
    }
  }
}
