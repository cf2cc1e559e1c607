import { fieldOf, partsOf } from '../../mail.ts';
import type { ByteWindow } from './byte-window.ts';

/**
 * Splits an mbox, or what `doveadm fetch` printed, into messages. The window holds one message of at
 * most `maxBytes` and some more bytes.
 *
 * No standard says which `From ` line begins a message and which is text that nobody quoted. Here a
 * field of a header must follow it, and it bears a date where the file's first one does; Thunderbird
 * writes it bare since version 115. The line is no part of a message, nor is the blank line before it.
 * A message that says its length is believed where it ends before such a line, or with the file.
 */
interface Part {
  /** From 1; a message that is not wanted has a number as well. */
  readonly number: number;
  readonly isLast: boolean;
  /** As it is in the content, good until the next part is asked for; `undefined` when over-size. */
  readonly body: Buffer | undefined;
}

/** What every separator begins with, and all of it. */
interface Dialect {
  readonly mark: Buffer;
  readonly separator: RegExp;
}

const FIELD = '(?=>From |[!-9;-~]+[ \\t]*:)';
/** As every program dates the line: nothing but a time zone follows the year. */
const DATE = '(?=[^\\n]*\\d:\\d\\d)[^\\n]*\\b\\d{4}(?: [+-]\\d{4}| [A-Z]{3,5})?[ \\t\\r]*';
const DATED = new RegExp(`^From ${DATE}\\n`);

const DIALECTS = {
  dated: {
    mark: Buffer.from('\nFrom '),
    separator: new RegExp(`^\\nFrom (?:${DATE}|\\r?)\\n${FIELD}`),
  },
  // Without a date a blank line tells a separator from text.
  undated: {
    mark: Buffer.from('\n\nFrom '),
    separator: new RegExp(`^\\n\\nFrom [^\\n]*\\n${FIELD}`),
  },
  undatedCrlf: {
    mark: Buffer.from('\n\r\nFrom '),
    separator: new RegExp(`^\\n\\r\\nFrom [^\\n]*\\n${FIELD}`),
  },
  // `doveadm fetch "uid text"` (Dovecot 2.3 and 2.4) writes a form feed between messages.
  fetch: {
    mark: Buffer.from('\f\nuid: '),
    separator: new RegExp(`^\\f\\nuid: \\d+\\ntext:\\r?\\n${FIELD}`),
  },
} as const satisfies Readonly<Record<string, Dialect>>;

/** A separator and the first field's name after it are not longer. */
const LOOK_AHEAD = 4_096;
/** So many bytes before a mark tell a blank line. */
const LOOK_BEHIND = 3;
const [LF, CR] = [10, 13];
/** The length is not looked for behind so much of a header. */
const MAX_HEADER_BYTES = 65_536;

/** True of a content that begins with a dated `From ` line. */
export function beginsDated(text: string): boolean {
  return DATED.test(text);
}

/**
 * @param window begins with the first header
 * @param lead the lines before it
 */
export async function* splitMessages(
  window: ByteWindow,
  lead: string,
  maxBytes: number,
): AsyncGenerator<Part, void, undefined> {
  const dialect = dialectOf(lead);
  for (let number = 1; ; number += 1) {
    const { length, end, next } = await endOfMessage(window, dialect, maxBytes);
    const isLast = next === undefined;
    // The last message of what broke off isn't whole.
    if (isLast && window.fault !== undefined) return;
    const body = length <= maxBytes ? window.bytes.subarray(0, end) : undefined;
    yield { number, isLast, body };
    if (isLast) return;
    window.drop(next);
  }
}

function dialectOf(lead: string): Dialect {
  if (!lead.startsWith('From ')) return DIALECTS.fetch;
  if (beginsDated(lead) || /^From \r?\n$/.test(lead)) return DIALECTS.dated;
  return lead.endsWith('\r\n') ? DIALECTS.undatedCrlf : DIALECTS.undated;
}

interface MessageEnd {
  /** Of the whole message. */
  readonly length: number;
  /** Where it ends in the window. */
  readonly end: number;
  /** Where the next one begins; `undefined` after the last one. */
  readonly next: number | undefined;
}

/** Where the message ends with which the window begins; of one that is over-size the window drops. */
async function endOfMessage(
  window: ByteWindow,
  dialect: Dialect,
  maxBytes: number,
): Promise<MessageEnd> {
  const stated = await statedEnd(window, dialect, maxBytes);
  if (stated !== undefined) return stated;
  const { mark } = dialect;
  let dropped = 0;
  for (let searchAt = 0; ;) {
    const found = window.bytes.indexOf(mark, searchAt);
    if (found !== -1) {
      const separated = separatedAt(await window.fill(found + LOOK_AHEAD), found, dialect);
      if (separated !== undefined) return { ...separated, length: dropped + separated.length };
      searchAt = found + 1;
      continue;
    }
    const { length } = window.bytes;
    searchAt = Math.max(searchAt, length - mark.length + 1);
    if (dropped + searchAt > maxBytes + mark.length) {
      const surplus = Math.max(0, searchAt - LOOK_BEHIND);
      window.drop(surplus);
      dropped += surplus;
      searchAt -= surplus;
    }
    const before = window.bytes.length;
    if ((await window.fill(before + 1)).length > before) continue;
    const end = mark[0] === LF ? withoutBlankLine(window.bytes, before) : before;
    return { length: dropped + end, end, next: undefined };
  }
}

/**
 * Where the message ends by its Content-Length, if it does end there. Dovecot writes a line of text that
 * begins with `From ` as it is, and relies on that length (`findings/dovecot-mbox-quoted-letter-is-two.sh`).
 */
async function statedEnd(
  window: ByteWindow,
  dialect: Dialect,
  maxBytes: number,
): Promise<MessageEnd | undefined> {
  const block = (await window.fill(MAX_HEADER_BYTES)).subarray(0, MAX_HEADER_BYTES);
  const { headers, body } = partsOf(block);
  const isWhole = headers.length < block.length;
  const bodyLength = fieldOf(headers, 'Content-Length') ?? '';
  if (!isWhole || !/^\d+$/.test(bodyLength)) return undefined;
  const end = block.length - body.length + Number(bodyLength);
  if (end > maxBytes) return undefined;
  const content = await window.fill(end + LOOK_AHEAD);
  // The separator begins with the end of the line before it, which is the last one or a blank one.
  for (const at of [end - 1, end, end + 1]) {
    const separated = separatedAt(content, at, dialect);
    if (separated !== undefined) return separated;
  }
  const rest = content.length - end;
  const isLast = rest >= 0 && rest <= 2 && /^\r?\n?$/.test(content.toString('latin1', end));
  return isLast ? { length: end, end, next: undefined } : undefined;
}

/** The end of a message before a separator that begins at `at`, if one does. */
function separatedAt(
  content: Buffer,
  at: number,
  { mark, separator }: Dialect,
): MessageEnd | undefined {
  const [matched] = separator.exec(content.toString('latin1', at, at + LOOK_AHEAD)) ?? [];
  if (matched === undefined) return undefined;
  const end = mark[0] === LF ? withoutBlankLine(content, at + 1) : at;
  return { length: end, end, next: at + matched.length };
}

/** Where the lines before `at` end, without the blank one that may be the last. */
function withoutBlankLine(content: Buffer, at: number): number {
  if (content[at - 1] !== LF) return at;
  if (content[at - 2] === LF) return at - 1;
  return content[at - 2] === CR && content[at - 3] === LF ? at - 2 : at;
}

/** A message without one `>` of every quoted From_ line: right for mboxrd, nearly so for mboxo. */
export function unquote(body: Buffer): Buffer {
  if (!body.includes('>From ')) return Buffer.from(body);
  return Buffer.from(body.toString('latin1').replace(/^>(>*From )/gm, '$1'), 'latin1');
}
