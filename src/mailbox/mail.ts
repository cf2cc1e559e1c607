import { endsWithDate } from './separator.ts';

/**
 * Is this a mail message, and where does it begin? Judged by its first 64 KiB and nothing else: the
 * names of files lie, and what isn't mail must not be taught.
 */

/** So much of a content decides. */
export const HEAD_BYTES = 64 * 1024;

export interface MessageStart {
  /** Where the From_ line, or else the header block, begins: after leading blank lines. */
  readonly at: number;
  /** Where the header block begins. */
  readonly headerAt: number;
  /** Begins with a From_ line: an mbox, of one message or several. */
  readonly isMbox: boolean;
}

const LF = 10;
const CR = 13;
const FROM_BYTES = Buffer.from('From ');
const FIRST_FIELD = /(?:>From [^\n]*\n)*[!-9;-~]+[ \t]*:/y;
// One of these every message has; no text with a colon in its first line does.
const KNOWN_FIELD =
  /^(?:from|to|cc|subject|date|received|message-id|return-path|mime-version|content-type|delivered-to|reply-to|sender|x-[!-9;-~]+)[ \t]*:/im;
const NUL_BYTES = 512;

/**
 * `undefined` for what isn't mail. `head`: the content from its beginning, 64 KiB are enough. A dated
 * From_ line begins an mbox whatever follows it: each of its messages is judged by itself, and the
 * first one may be broken.
 */
export function messageStart(head: Buffer): MessageStart | undefined {
  const at = afterBlankLines(head);
  const isMbox = startsWithFrom(head, at);
  const lineEnd = isMbox ? head.indexOf(LF, at) : at - 1;
  if (isMbox && lineEnd === -1) return undefined;
  const headerAt = lineEnd + 1;
  const isMail =
    hasHeader(head, headerAt) || (isMbox && endsWithDate(head.toString('latin1', at, lineEnd)));
  return isMail ? { at, headerAt, isMbox } : undefined;
}

/** True when a header block of a mail message begins at `at`. */
export function hasHeader(content: Buffer, at = 0): boolean {
  const text = content.toString('latin1', at, Math.min(content.length, at + HEAD_BYTES));
  FIRST_FIELD.lastIndex = 0;
  if (!FIRST_FIELD.test(text)) return false;
  const end = headerEnd(text);
  const header = end === -1 ? text : text.slice(0, end);
  return !header.slice(0, NUL_BYTES).includes('\u0000') && KNOWN_FIELD.test(header);
}

/** Where the blank line after the header begins; -1 when there is none. */
export function headerEnd(text: string): number {
  const unix = text.indexOf('\n\n');
  const dos = text.indexOf('\n\r\n');
  if (unix === -1 || dos === -1) return Math.max(unix, dos) + (unix === dos ? 0 : 1);
  return Math.min(unix, dos) + 1;
}

function startsWithFrom(content: Buffer, at: number): boolean {
  return content.subarray(at, at + FROM_BYTES.length).equals(FROM_BYTES);
}

function afterBlankLines(head: Buffer): number {
  let at = 0;
  for (;;) {
    if (head[at] === LF) at += 1;
    else if (head[at] === CR && head[at + 1] === LF) at += 2;
    else return at;
  }
}
