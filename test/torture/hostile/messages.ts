import { createHash } from 'node:crypto';

/**
 * Messages that certify themselves: a sum over the whole of it shows whether a message is complete
 * and of one piece, and a marker shows what never was a message.
 */

/** In every file that lies outside of the drop directory. */
export const MARKER = 'BYTES-FROM-OUTSIDE-OF-THE-FOLDER';

export interface Certified {
  /** Which message it is. */
  readonly name: string;
  /** Which of its versions: a later one is higher. */
  readonly version: number;
}

/** A message of about `size` bytes, at least some hundred. */
export function certify({ name, version }: Certified, size = 1_000): Buffer {
  const head =
    `From: <writer@example.org>\r\nSubject: ${name}\r\n` +
    `Message-ID: <${createHash('sha256').update(name).digest('hex')}@example.org>\r\n` +
    `X-Certified: ${Buffer.from(name).toString('hex')} ${version}\r\n\r\n`;
  const line = `${name.length} and version ${version} of a message that knows what it should be\r\n`;
  const text = head + line.repeat(Math.max(1, Math.ceil((size - head.length - 66) / line.length)));
  return Buffer.from(`${text}${sum(text)}\r\n`);
}

/** Which message these bytes are; `undefined` when they are none, a part of one or a mixture. */
export function certified(bytes: Buffer): Certified | undefined {
  const end = bytes.length - SUM_LENGTH;
  if (end <= 0 || `${sum(bytes.subarray(0, end))}\r\n` !== bytes.toString('latin1', end)) {
    return undefined;
  }
  const [, name, version] =
    /^X-Certified: ([0-9a-f]*) (\d+)\r$/m.exec(bytes.toString('latin1', 0, 4_096)) ?? [];
  return { name: Buffer.from(name ?? '', 'hex').toString(), version: Number(version) };
}

const SUM_LENGTH = 66;

function sum(bytes: string | Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
