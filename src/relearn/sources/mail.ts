import { fetchLead } from './doveadm.ts';
import { endsWithDate, LF, lineEndAt } from './separators.ts';

/**
 * Is this a mail message, and where does it begin? Judged by its first 64 KiB and nothing else: the
 * names of files lie, and what isn't mail must not be taught.
 */

/** So much of a content decides. */
export const HEAD_BYTES = 64 * 1024;

/** One message, an mbox of one or several, or what `doveadm fetch` printed of one or several. */
export type Form = 'message' | 'mbox' | 'fetch';

export interface MessageStart {
  readonly form: Form;
  /** Where the form begins: after a byte order mark, leading blank lines and a line before a message. */
  readonly at: number;
  /** Where the header block begins: after the From_ line, or what `doveadm` prints before a message. */
  readonly headerAt: number;
  /** What stands before the header: the From_ line, doveadm's fields, a line that is no field. */
  readonly lead: string;
}

const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);
const FROM_BYTES = Buffer.from('From ');
const BLANK_LINE = Buffer.from('\n\n');
const BLANK_LINE_CRLF = Buffer.from('\n\r\n');
const HEADER_LINE = /^[!-9;-~]+[ \t]*:/;
const HEADER_START = /^(?:>From [^\n]*\n)*[!-9;-~]+[ \t]*:/;
// One of these every message has; no text with a colon in its first line does.
const KNOWN_FIELD =
  /^(?:from|to|cc|subject|date|received|message-id|return-path|mime-version|content-type|delivered-to|reply-to|sender|x-[!-9;-~]+)[ \t]*:/im;
/** Fields of which a header after a foreign line has several. */
const USUAL_FIELDS = /^(?:from|to|subject|date|received|message-id|return-path)(?=[ \t]*:)/gim;
const FEWEST_USUAL = 2;
const NUL_BYTES = 512;
const LONGEST_BANNER = 200;

/**
 * `undefined` for what isn't mail. `head`: the content from its beginning, 64 KiB are enough. A dated
 * From_ line begins an mbox whatever follows it: each of its messages is judged by itself, and the
 * first one may be broken.
 */
export function messageStart(head: Buffer): MessageStart | undefined {
  const at = afterBlankLines(head);
  if (head.subarray(at, at + FROM_BYTES.length).equals(FROM_BYTES)) return mboxStart(head, at);
  const lead = fetchLead(head, at);
  if (lead !== undefined) return { form: 'fetch', at, headerAt: at + lead.length, lead };
  if (hasHeader(head, at)) return { form: 'message', at, headerAt: at, lead: '' };
  return afterBanner(head, at);
}

function mboxStart(head: Buffer, at: number): MessageStart | undefined {
  const lineEnd = head.indexOf(LF, at);
  if (lineEnd === -1) return undefined;
  const headerAt = lineEnd + 1;
  const lead = head.toString('latin1', at, lineEnd);
  const isMbox = endsWithDate(lead) || hasHeader(head, headerAt);
  return isMbox ? { form: 'mbox', at, headerAt, lead } : undefined;
}

/**
 * A message after one line that is none of a header: what a POP3 server answered, the length in an
 * `.emlx`, what MailStore ("Microsoft Mail Internet Headers Version 2.0") and others write there.
 */
function afterBanner(head: Buffer, at: number): MessageStart | undefined {
  const lineEnd = head.subarray(at, at + LONGEST_BANNER).indexOf(LF) + at;
  if (lineEnd < at) return undefined;
  const headerAt = lineEnd + 1;
  const header = headerOf(head, headerAt);
  if (header === undefined) return undefined;
  const usual = new Set(header.match(USUAL_FIELDS)?.map((name) => name.toLowerCase()));
  const isWhole = header
    .split('\n')
    .every((line) => HEADER_LINE.test(line) || /^[ \t\r]|^$/.test(line));
  if (usual.size < FEWEST_USUAL || !isWhole) return undefined;
  const lead = head.toString('latin1', at, lineEnd).trim();
  // An interpreter's line is a script's; IMAP's answers may be many.
  return /^(?:#!|\* )/.test(lead) ? undefined : { form: 'message', at: headerAt, headerAt, lead };
}

/** True when a header block of a mail message begins at `at`. */
export function hasHeader(content: Buffer, at = 0): boolean {
  return headerOf(content, at) !== undefined;
}

/**
 * The header block of a mail message that begins at `at`, as far as the first 64 KiB hold it, without
 * the blank line; `undefined` where none begins.
 */
export function headerOf(content: Buffer, at = 0): string | undefined {
  const head = content.subarray(at, at + HEAD_BYTES);
  const end = headerEnd(head);
  const header = head.toString('latin1', 0, end === -1 ? head.length : end);
  const isHeader =
    HEADER_START.test(header) &&
    !header.slice(0, NUL_BYTES).includes('\u0000') &&
    KNOWN_FIELD.test(header);
  return isHeader ? header : undefined;
}

/** Where the blank line after the header begins; -1 when there is none. */
export function headerEnd(text: Buffer): number {
  const unix = text.indexOf(BLANK_LINE);
  // Rarely in the same header; where it is, it may come first.
  const dos = (unix === -1 ? text : text.subarray(0, unix)).indexOf(BLANK_LINE_CRLF);
  const found = dos === -1 ? unix : dos;
  return found === -1 ? -1 : found + 1;
}

/** The value of a field of a header block, unfolded; of several the first. */
export function fieldOf(header: string, name: string): string | undefined {
  const field = new RegExp(`^${name}[ \\t]*:((?:[^\\n]|\\n[ \\t])*)`, 'im').exec(header)?.[1];
  return field?.replace(/\r?\n/g, '').trim();
}

function afterBlankLines(head: Buffer): number {
  const hasMark = head.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK);
  let at = hasMark ? BYTE_ORDER_MARK.length : 0;
  for (let length = 1; length > 0; at += length) length = lineEndAt(head, at);
  return at;
}

/**
 * A message without what came along with the line that stood before it.
 * @param lead that line, which is no part of `body`; empty where there was none
 */
export function withoutTrailer(body: Buffer, lead: string): Buffer {
  if (/^\d+$/.test(lead)) return ofAppleMail(body, Number(lead));
  return lead.startsWith('+OK') ? ofPop3(body) : body;
}

/** `.emlx`: so many bytes of message, and then a property list of Apple Mail's. */
function ofAppleMail(body: Buffer, bytes: number): Buffer {
  const trailer = body.toString('latin1', bytes, bytes + 100).trim();
  return /^(?:<\?xml|<!DOCTYPE plist|<plist|$)/.test(trailer) ? body.subarray(0, bytes) : body;
}

/** As RFC 1939 sends it: a dot ends it, and lines that begin with one have another before it. */
function ofPop3(body: Buffer): Buffer {
  const text = body.toString('latin1').replace(/(?<=\n)\.(?:\r?\n)?$/, '');
  return Buffer.from(text.replace(/^\.\./gm, '.'), 'latin1');
}
