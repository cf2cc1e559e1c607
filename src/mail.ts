import { createHash } from 'node:crypto';

/**
 * A message's headers and body, as far as they are needed: where one ends and the other begins. No
 * parser of mail; what is broken is read as far as it goes.
 */

/** As much of a message as is searched. */
const HEADER_LIMIT = 262_144;
const [CR, LF] = [13, 10];
const BLOCK_BYTES = 65_536;

interface Mail {
  /** The header lines, as Latin-1. */
  readonly headers: string;
  readonly body: Buffer;
}

/** Takes a message apart at its first blank line. */
export function partsOf(message: Buffer): Mail {
  const { end, next } = endOfHeaders(message);
  const headers = message.toString('latin1', 0, Math.min(end, HEADER_LIMIT));
  return { headers, body: message.subarray(next) };
}

/** Where the headers end, and where the body begins behind the blank line. */
function endOfHeaders(message: Buffer): { readonly end: number; readonly next: number } {
  const lf = message.indexOf('\n\n');
  const crlf = message.indexOf('\r\n\r\n');
  if (crlf !== -1 && (lf === -1 || crlf < lf)) return { end: crlf + 2, next: crlf + 4 };
  return lf === -1 ? { end: message.length, next: message.length } : { end: lf + 1, next: lf + 2 };
}

/** The value of a field of a header block, unfolded; of several the first. */
export function fieldOf(header: string, name: string): string | undefined {
  const field = new RegExp(`^${name}[ \\t]*:((?:[^\\n]|\\n[ \\t])*)`, 'im').exec(header)?.[1];
  return field?.replace(/\r?\n/g, '').trim();
}

/** The value of a field as people see it, with the encoded words of RFC 2047 in it decoded. */
export function inPlainText(raw: string): string {
  const text = textOf(Buffer.from(raw, 'latin1'), 'utf-8');
  const joined = text.replace(/(=\?[^?\s]+\?[bq]\?[^?]*\?=)\s+(?==\?)/gi, '$1');
  return joined.replace(
    /=\?([^?\s*]+)(?:\*[^?\s]*)?\?([bq])\?([^?]*)\?=/gi,
    (_, charset: string, encoding: string, encoded: string) =>
      textOf(
        encoding.toLowerCase() === 'b' ? Buffer.from(encoded, 'base64') : unquoted(encoded),
        charset,
      ),
  );
}

/** SHA-256 of a body with line ends LF, as filters take CRLF for the same. In base64. */
export function hashOfBody({ body }: Mail): string {
  const hash = createHash('sha256');
  const first = body.indexOf('\r\n');
  hash.update(first === -1 ? body : body.subarray(0, first));
  if (first === -1) return hash.digest('base64');
  const block = Buffer.allocUnsafe(Math.min(BLOCK_BYTES, body.length - first));
  let filled = 0;
  for (let at = first; at < body.length; at += 1) {
    const byte = body[at] ?? 0;
    if (byte === CR && body[at + 1] === LF) continue;
    block[filled] = byte;
    filled += 1;
    if (filled < block.length) continue;
    hash.update(block);
    filled = 0;
  }
  return hash.update(block.subarray(0, filled)).digest('base64');
}

function unquoted(encoded: string): Buffer {
  const bytes = encoded
    .replaceAll('_', ' ')
    .replace(/=([0-9A-F]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(bytes, 'latin1');
}

function textOf(bytes: Buffer, charset: string): string {
  try {
    return new TextDecoder(charset, { fatal: true }).decode(bytes);
  } catch {
    return bytes.toString('latin1'); // unknown, or not what it says
  }
}
