/** The header of a zstd frame (RFC 8878, 3.1.1.1), after its magic number. */

export interface FrameHeader {
  /** The header as the decoder may have it: without the sign that a checksum follows. */
  readonly forDecoder: Buffer;
  readonly hasChecksum: boolean;
  /** Bytes of the largest block that it may hold. */
  readonly largestBlock: number;
}

/** What zstd itself takes unless told otherwise (`--long=27`); the decoder holds it in memory. */
export const LARGEST_WINDOW_MIB = 128;
const MIB = 1024 * 1024;
const LARGEST_BLOCK = 128 * 1024;

const MAGIC = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);
const SINGLE_SEGMENT = 0x20;
const RESERVED = 0x08;
const CHECKSUM = 0x04;
const DICTIONARY_ID_BYTES = [0, 1, 2, 4];
const CONTENT_SIZE_BYTES = [0, 2, 4, 8];

/**
 * @param take gives the next bytes of the frame
 * @param broken makes the error of a reason
 */
export async function parseFrameHeader(
  take: (bytes: number) => Promise<Buffer>,
  broken: (what: string) => Error,
): Promise<FrameHeader> {
  const descriptor = (await take(1)).readUInt8(0);
  if ((descriptor & RESERVED) !== 0) throw broken('a header of an unknown kind');
  const isSingle = (descriptor & SINGLE_SEGMENT) !== 0;
  const window = isSingle ? Buffer.alloc(0) : await take(1);
  const dictionary = await take(DICTIONARY_ID_BYTES[descriptor & 3] ?? 0);
  if (dictionary.some((byte) => byte !== 0)) throw broken('it needs a dictionary');
  const sizeBytes = CONTENT_SIZE_BYTES[descriptor >> 6] ?? 0;
  const size = await take(sizeBytes === 0 && isSingle ? 1 : sizeBytes);
  const windowBytes = isSingle ? contentSize(size) : windowSize(window.readUInt8(0));
  if (windowBytes > LARGEST_WINDOW_MIB * MIB) {
    throw broken(
      `its window of ${Math.ceil(windowBytes / MIB)} MiB is larger than ${LARGEST_WINDOW_MIB} MiB`,
    );
  }
  return {
    forDecoder: Buffer.concat([
      MAGIC,
      Buffer.from([descriptor & ~CHECKSUM]),
      window,
      dictionary,
      size,
    ]),
    hasChecksum: (descriptor & CHECKSUM) !== 0,
    largestBlock: Math.min(windowBytes, LARGEST_BLOCK),
  };
}

function windowSize(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}

function contentSize(field: Buffer): number {
  switch (field.length) {
    case 2:
      return field.readUInt16LE(0) + 256;
    case 8:
      return Number(field.readBigUInt64LE(0));
    default:
      return field.readUIntLE(0, field.length);
  }
}
