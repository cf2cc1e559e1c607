import { createHash } from 'node:crypto';
import { keyLock } from '../spool/message-locks.ts';
import { clean } from '../text.ts';

/**
 * What makes two messages the same to rspamd, or nearly: the key, the Message-ID, the body. rspamd
 * counts posts of one message in parallel several times, so what shares one of these shares a lock.
 */
export interface Identity {
  /** The locks that the message needs. */
  readonly locks: readonly string[];
  /** The Message-ID without its brackets, cleaned for logs. */
  readonly messageId: string | undefined;
}

/** As much of a message as is searched for its Message-ID. */
const HEADER_LIMIT = 262_144;

export function identify(key: string, body: Buffer): Identity {
  const { end, next } = endOfHeaders(body);
  const headers = body.toString('latin1', 0, Math.min(end, HEADER_LIMIT));
  // The value may be folded: a line that begins with white space goes on with the one before.
  const messageId = /^message-id:[ \t]*(?:\r?\n[ \t]+)*<?([^>\s]+)/im.exec(headers)?.[1];
  const content = createHash('sha256').update(body.subarray(next)).digest('base64');
  const locks = [keyLock(key), `body:${content}`];
  if (messageId !== undefined) {
    // Hashed, so that a long one takes no more memory than a short one.
    locks.push(`id:${createHash('sha256').update(messageId, 'latin1').digest('base64')}`);
  }
  return { locks, messageId: messageId === undefined ? undefined : clean(messageId) };
}

/** Where the headers end, and where the body begins behind the blank line. */
function endOfHeaders(body: Buffer): { end: number; next: number } {
  const lf = body.indexOf('\n\n');
  const crlf = body.indexOf('\r\n\r\n');
  if (crlf !== -1 && (lf === -1 || crlf < lf)) return { end: crlf + 2, next: crlf + 4 };
  return lf === -1 ? { end: body.length, next: body.length } : { end: lf + 1, next: lf + 2 };
}
