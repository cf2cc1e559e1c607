import { fieldOf, inPlainText } from '../../mail.ts';
import type { Verdict } from '../../verdict.ts';
import { passedOverAs, unwantedFolder } from './folder-use.ts';
import { beginsDated } from './mbox.ts';
import { packingOf } from './unpack.ts';

/**
 * Is this a mail message, and where does it begin? Judged by its first 64 KiB and nothing else: the
 * names of files lie, and what isn't mail must not be taught.
 */

/** So much of a content decides. */
export const HEAD_BYTES = 64 * 1024;

export interface MailStart {
  /** One message, an mbox of one or several, or what `doveadm fetch "uid text"` printed of them. */
  readonly form: 'message' | 'mbox' | 'fetch';
  /** Where the first header begins. */
  readonly at: number;
  /** The lines before it: the From_ line, or doveadm's. */
  readonly lead: string;
}

/** Not mail, or mail for certain that something else has to open first: that fails. */
interface OtherStart {
  readonly form: 'notMail' | 'failed';
  readonly reason: string;
}

const DOVEADM =
  'pipe in what doveadm fetch -u USER "uid text" mailbox FOLDER prints, as --spam - or --ham -';

function unpackedBy(packing: string, program: string): string {
  return `${packing} isn't read: ${program} FILE | kopano-learnd relearn --spam - (or --ham -)`;
}

/** Mail that is not read here, by its first bytes: what it is, and what opens it. */
const UNREADABLE: readonly (readonly [RegExp, string])[] = [
  [/^BZh[1-9](?:1AY&SY|.rE8P)/s, unpackedBy('bzip2', 'bzcat')],
  [/^\xfd7zXZ/, unpackedBy('xz', 'xzcat')],
  [/^(?:[^ -~]"M|[^ -~]!L)[^ -~]/, unpackedBy('lz4', 'lz4cat')],
  [/^Dovecot-LZ4/, `compressed by Dovecot (lz4): ${DOVEADM}`],
  [/^CRYPTED[^ -~]/, `encrypted by Dovecot (mail_crypt): ${DOVEADM}`],
  [/^2 M[0-9a-f]+ C[0-9a-f]+\n/, `in Dovecot's dbox format: ${DOVEADM}`],
  [/^(?:[a-z][a-z0-9.-]*: .*\n)*(?:text(?:\.utf8)?|hdr|body):\r?\n/, `of doveadm: ${DOVEADM}`],
  [/^!BDN/, 'an Outlook data file (PST): convert it first (readpst -e -o DIR FILE)'],
  [
    /^\xd0\xcf[^ -~]\xe0\xa1\xb1[^ -~]\xe1.*s[^ -~]u[^ -~]b[^ -~]s[^ -~]t[^ -~]g[^ -~]1/s,
    'an Outlook message (MSG): convert it first (msgconvert FILE)',
  ],
];

/** The magic stands behind the name and the rights of the first file. */
const TAR = /^.{257}ustar/s;

/** @param head the content from its beginning; `HEAD_BYTES` are enough */
export function contentStart(head: Buffer): MailStart | OtherStart {
  if (head.length === 0) return { form: 'notMail', reason: 'empty' };
  const text = head.toString('latin1', 0, HEAD_BYTES);
  // Windows' programs begin a text with the bytes of a byte order mark.
  const blank = /^(?:\xef\xbb\xbf)?(?:\r?\n)*/.exec(text)?.[0] ?? '';
  const lead = /^(?:From [^\n]*\n|uid: \d+\ntext:\r?\n)/.exec(text.slice(blank.length))?.[0] ?? '';
  const at = blank.length + lead.length;
  const unreadable = lead === '' ? whyUnreadable(head, text) : undefined;
  if (unreadable !== undefined) return { form: 'failed', reason: unreadable };
  // Each message of an mbox is judged by itself, and the first one may be broken.
  if (headerOf(head, at) === undefined && !beginsDated(lead)) {
    const tar = 'a tar archive: unpack it first (tar -xf)';
    return { form: 'notMail', reason: TAR.test(text) ? tar : 'not a mail message' };
  }
  return { form: lead === '' ? 'message' : lead.startsWith('From ') ? 'mbox' : 'fetch', at, lead };
}

function whyUnreadable(head: Buffer, text: string): string | undefined {
  if (packingOf(head) !== undefined) return 'packed twice: unpack it first (zcat)';
  return UNREADABLE.find(([magic]) => magic.test(text))?.[1];
}

const HEADER_START = /^(?:>From [^\n]*\n)*[!-9;-~]+[ \t]*:/;
// One of these every message has; no text with a colon in its first line does.
const KNOWN_FIELD =
  /^(?:from|to|cc|subject|date|received|message-id|return-path|mime-version|content-type|delivered-to|reply-to|sender|x-[!-9;-~]+)[ \t]*:/im;
const NUL_BYTES = 512;

/**
 * The header block of a mail message that begins at `at`, as far as the first 64 KiB hold it, without
 * the blank line; `undefined` where none begins.
 */
export function headerOf(content: Buffer, at = 0): string | undefined {
  const head = content.toString('latin1', at, at + HEAD_BYTES);
  const header = /^[^]*?\n(?=\r?\n)/.exec(head)?.[0] ?? head;
  const isHeader =
    HEADER_START.test(header) &&
    !header.slice(0, NUL_BYTES).includes('\u0000') &&
    KNOWN_FIELD.test(header);
  return isHeader ? header : undefined;
}

/** All fields that tell of a deletion, or of the mail folder. */
const MARKS = /^(?:x-gm-thrid|x-imap(?:base)?|x-mozilla-status2?|x-status|status)[ \t]*:/im;

/** What UW IMAP, Pine and early Dovecots keep as the first message of an mbox. */
const INTERNAL_DATA = "DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA";

/**
 * Why a message of an mbox is not taught. Programs mark a message that was deleted, or moved to Junk,
 * and its bytes stay until they tidy up; and Gmail exports all mail folders as one mbox.
 */
export function whyPassedOver(header: string, verdict: Verdict): string | undefined {
  if (!MARKS.test(header)) return undefined;
  if (fieldOf(header, 'Subject') === INTERNAL_DATA && /^x-imap(?:base)?:/im.test(header)) {
    return 'internal data of the mail folder';
  }
  // Thunderbird's flags: nsMsgMessageFlags Expunged, and IMAPDeleted.
  const [flags, more] = ['X-Mozilla-Status', 'X-Mozilla-Status2'].map((name) =>
    Number.parseInt(fieldOf(header, name) ?? '0', 16),
  );
  const isExpunged = ((flags ?? 0) & 0x8) !== 0 || ((more ?? 0) & 0x20_0000) !== 0;
  if (isExpunged) return 'deleted (X-Mozilla-Status)';
  // UW IMAP, Alpine, Dovecot and mutt.
  const field = ['X-Status', 'Status'].find((name) => fieldOf(header, name)?.includes('D'));
  if (field !== undefined) return `deleted (${field})`;
  const use = labelsOf(header)
    .map((label) => unwantedFolder(label, verdict))
    .find((each) => each !== undefined);
  return use && `${passedOverAs(use, verdict)} (X-Gmail-Labels)`;
}

/** Gmail's own fields stand before all others, which a sender may have written. */
const GMAIL = /^X-GM-THRID:[^\n]*\nX-Gmail-Labels:/;

/** The raw names of the folders that Gmail's export puts a message in; one with a comma is quoted. */
function labelsOf(header: string): readonly string[] {
  if (!GMAIL.test(header)) return [];
  const labels = inPlainText(fieldOf(header, 'X-Gmail-Labels') ?? '');
  const raw = Buffer.from(labels).toString('latin1');
  return raw.match(/"[^"]*"|[^,]+/g) ?? [];
}

const WRAPPED_TYPE = /^multipart\/mixed;.*?boundary="?([^";\s]+)/i;

/**
 * The message that SpamAssassin has wrapped into a report of its own (`report_safe`), as it came: what
 * the wrapper says is not the sender's. Any other message as it is.
 */
export function unwrapped(body: Buffer): Buffer {
  const mark = body.subarray(0, HEAD_BYTES).indexOf('x-spam-type=original');
  if (mark === -1) return body;
  const boundary = WRAPPED_TYPE.exec(fieldOf(headerOf(body) ?? '', 'Content-Type') ?? '')?.[1];
  if (boundary === undefined) return body;
  // The mark stands in the header of the part that begins at the last boundary before it.
  const partAt = body.lastIndexOf(`\n--${boundary}`, mark);
  const part = body.toString('latin1', partAt, partAt + HEAD_BYTES);
  const headerLength = /^[^]*?\n\r?\n/.exec(part)?.[0].length ?? 0;
  const original = partAt + headerLength;
  const end = body.indexOf(`\n--${boundary}--`, original);
  if (partAt === -1 || original < mark || end === -1) return body;
  // The line end before a boundary is the boundary's (RFC 2046).
  const message = body.subarray(original, body[end - 1] === CR ? end - 1 : end);
  return headerOf(message) === undefined ? body : message;
}

const CR = 13;
