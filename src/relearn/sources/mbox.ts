import type { ByteWindow } from './byte-window.ts';
import { fieldOf, headerEnd, HEAD_BYTES } from './mail.ts';
import { blankLineBefore, LF, lineEndAt, LOOK_AHEAD } from './separators.ts';
import type { Dialect, Separator } from './separators.ts';

/**
 * Splits an mbox, or what `doveadm fetch` printed, into messages. The window holds one message of at
 * most `maxBytes` and some more bytes; where a message says how long it is and a separator comes
 * before, the window holds what follows up to that length, which is never more than `maxBytes`.
 *
 * The From_ line is no part of a message, nor is the one blank line before the next. Every message
 * has its number, from 1, also one that is not wanted.
 */
export interface MboxPart {
  readonly number: number;
  readonly isLast: boolean;
  readonly bytes: number;
  /** As it is in the content, good until the next part is asked for; `undefined` when over-size. */
  readonly body: Buffer | undefined;
}

/** So many bytes before a mark are looked at. */
const LOOK_BEHIND = 3;
/**
 * After so many wrong lengths (lines that end otherwise than when they were counted) none is believed:
 * one in a thousand leads to some separator by chance.
 */
const MOST_WRONG = 10;

/** @param window begins with the last byte before the first header */
export async function* splitMessages(
  window: ByteWindow,
  dialect: Dialect,
  maxBytes: number,
): AsyncGenerator<MboxPart, void, undefined> {
  const splitter = new Splitter(window, dialect, maxBytes);
  for (let number = 1; ; number += 1) {
    const { start, end, dropped, isLast } = await splitter.endOfMessage();
    // The last message of what broke off isn't whole.
    if (isLast && window.fault !== undefined) return;
    const bytes = dropped + start - 1;
    const isKept = dropped === 0 && bytes <= maxBytes;
    const body = isKept ? window.bytes.subarray(1, start) : undefined;
    yield { number, isLast, bytes, body };
    if (isLast) return;
    // The line end before the next header stays.
    window.drop(end - 1);
  }
}

interface MessageEnd extends Separator {
  /** Bytes of the message that were dropped from the window before. */
  readonly dropped: number;
  readonly isLast: boolean;
}

class Splitter {
  readonly #window: ByteWindow;
  readonly #dialect: Dialect;
  readonly #maxBytes: number;
  /** Messages that didn't end where they claimed to, less those that did. */
  #wrongClaims = 0;

  constructor(window: ByteWindow, dialect: Dialect, maxBytes: number) {
    this.#window = window;
    this.#dialect = dialect;
    this.#maxBytes = maxBytes;
  }

  /** Where the message ends that begins at the second byte of the window. */
  async endOfMessage(): Promise<MessageEnd> {
    const { mark, judge, isMbox } = this.#dialect;
    const window = this.#window;
    let searchAt = 1;
    let dropped = 0;
    let claim: number | undefined;
    for (;;) {
      const found = window.bytes.indexOf(mark, searchAt);
      if (found === -1) {
        searchAt = Math.max(searchAt, window.bytes.length - mark.length + 1);
        const surplus = searchAt - LOOK_BEHIND;
        if (dropped + surplus > this.#maxBytes + 1) {
          claim ??= claimedLength(window.bytes);
          window.drop(surplus);
          dropped += surplus;
          searchAt = LOOK_BEHIND;
        }
        const { length } = window.bytes;
        if ((await window.fill(length + 1)).length > length) continue;
        const blank = isMbox ? blankLineBefore(window.bytes, length) : 0;
        return { start: Math.max(1, length - blank), end: length, dropped, isLast: true };
      }
      const separator = judge(await window.fill(found + LOOK_AHEAD), found);
      if (separator === undefined) {
        searchAt = found + mark.length;
        continue;
      }
      if (isMbox) claim ??= claimedLength(window.bytes);
      const next = await this.#nextByClaim(separator, claim ?? 0, 1 - dropped);
      if (next === undefined) return { ...separator, dropped, isLast: false };
      searchAt = next;
    }
  }

  /**
   * Content-Length, by which some programs say how long a message is, because they don't quote its
   * `From ` lines (mboxcl2). It is often wrong, so it is believed only where it leads exactly to the
   * next separator or to the end of the content.
   * @param claim what the message says of its length; 0 for nothing
   * @param start where it begins in the window
   * @returns where the search for its end goes on; `undefined` when the separator is its end
   */
  async #nextByClaim(
    separator: Separator,
    claim: number,
    start: number,
  ): Promise<number | undefined> {
    if (claim === 0) return undefined;
    const end = start + claim;
    if (end >= separator.end && claim <= this.#maxBytes && this.#wrongClaims <= MOST_WRONG) {
      const { mark, judge } = this.#dialect;
      const content = await this.#window.fill(end + LOOK_AHEAD);
      const at = end + lineEndAt(content, end);
      if (at === content.length) return at;
      const isMark = content.subarray(at - 1, at - 1 + mark.length).equals(mark);
      if (isMark && judge(content, at - 1) !== undefined) return at - 1;
    }
    const isRight = end >= separator.start && end < separator.end;
    this.#wrongClaims = Math.max(0, this.#wrongClaims + (isRight ? -1 : 1));
    return undefined;
  }
}

/** How many bytes the message at the second byte has by its own word; 0 when it doesn't say. */
function claimedLength(content: Buffer): number {
  const message = content.subarray(1, 1 + HEAD_BYTES);
  const end = headerEnd(message);
  if (end === -1) return 0;
  const value = fieldOf(message.toString('latin1', 0, end), 'Content-Length') ?? '';
  return /^\d+$/.test(value) ? end + lineEndAt(message, end) + Number(value) : 0;
}

const QUOTE = 62;
const QUOTED = Buffer.from('>From ');

/**
 * Removes one `>` of every quoted From_ line, in place: right for mboxrd, and for mboxo but for what
 * was quoted before.
 */
export function unquote(body: Buffer): Buffer {
  let found = body.indexOf(QUOTED);
  if (found === -1) return body;
  let written = 0;
  let read = 0;
  for (; found !== -1; found = body.indexOf(QUOTED, found + QUOTED.length)) {
    let lineStart = found;
    while (lineStart > read && body[lineStart - 1] === QUOTE) lineStart -= 1;
    if (lineStart > 0 && body[lineStart - 1] !== LF) continue;
    body.copyWithin(written, read, lineStart);
    written += lineStart - read;
    read = lineStart + 1;
  }
  body.copyWithin(written, read);
  return body.subarray(0, written + body.length - read);
}
