import { fieldOf, hasHeader, headerEnd, headerOf, HEAD_BYTES } from './mail.ts';

/**
 * Messages that SpamAssassin has wrapped into a report of its own (`report_safe 1` or `2`): what
 * they say is the wrapper's, and the message that was judged is a part of it, as it came.
 */

const MARK = 'x-spam-type=original';
/** Wrapped once more by another server on the way, at most so often. */
const LAYERS = 5;
const [LF, CR] = [10, 13];

/** The message in the wrapper; the same one where there is none. */
export function unwrapped(body: Buffer): Buffer {
  let message = body;
  for (let layer = 0; layer < LAYERS; layer += 1) {
    const inner = wrappedIn(message);
    if (inner === undefined) return message;
    message = inner;
  }
  return message;
}

function wrappedIn(body: Buffer): Buffer | undefined {
  const mark = body.subarray(0, HEAD_BYTES).indexOf(MARK);
  if (mark === -1) return undefined;
  const type = fieldOf(headerOf(body) ?? '', 'Content-Type') ?? '';
  const [, quoted, bare] =
    /^multipart\/mixed\s*;.*?boundary\s*=\s*(?:"([^"]+)"|([^\s;"]+))/i.exec(type) ?? [];
  const boundary = quoted ?? bare;
  if (boundary === undefined) return undefined;
  // The mark stands in the header of the part that begins at the last boundary before it.
  const partAt = body.lastIndexOf(`\n--${boundary}`, mark);
  const lineEnd = partAt === -1 ? -1 : body.indexOf(LF, partAt + 1);
  if (lineEnd === -1 || lineEnd > mark) return undefined;
  const part = body.subarray(lineEnd + 1);
  const end = headerEnd(part);
  if (end === -1 || lineEnd + 1 + end < mark) return undefined;
  const messageAt = end + (part[end] === CR ? 2 : 1);
  const close = part.indexOf(`\n--${boundary}--`, messageAt);
  if (close === -1) return undefined;
  // The line end before a boundary is the boundary's (RFC 2046).
  const message = part.subarray(messageAt, part[close - 1] === CR ? close - 1 : close);
  return hasHeader(message) ? message : undefined;
}
