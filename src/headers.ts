/**
 * The headers of a message, as far as they are needed: where they end, and what one field says. No
 * parser of mail; what is broken is read as far as it goes.
 */

/** As much of a message as is searched. */
const HEADER_LIMIT = 262_144;

/** Where the headers end, and where the body begins behind the blank line. */
export function endOfHeaders(message: Buffer): { readonly end: number; readonly next: number } {
  const lf = message.indexOf('\n\n');
  const crlf = message.indexOf('\r\n\r\n');
  if (crlf !== -1 && (lf === -1 || crlf < lf)) return { end: crlf + 2, next: crlf + 4 };
  return lf === -1 ? { end: message.length, next: message.length } : { end: lf + 1, next: lf + 2 };
}

/** The header lines, as Latin-1. */
export function headersOf(message: Buffer): string {
  return message.toString('latin1', 0, Math.min(endOfHeaders(message).end, HEADER_LIMIT));
}
