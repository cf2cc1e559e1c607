import { createHash } from 'node:crypto';
import { endOfHeaders } from './headers.ts';

const [CR, LF] = [13, 10];
const BLOCK_BYTES = 65_536;

/** SHA-256 of a message's body with line ends LF, as filters take CRLF for the same. In base64. */
export function hashOfBody(message: Buffer): string {
  const body = message.subarray(endOfHeaders(message).next);
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
