import { whyCutOff } from './cut-off.ts';
import { Gathering } from './gathering.ts';
import { hasHeader } from './mail.ts';
import { bearsDate, blankLineBefore, judgeSeparator, LOOK_BEHIND } from './separator.ts';

/**
 * Splits an mbox into messages as it comes, in pieces of any size. It holds one message, of at most
 * `maxBytes`, and at most some 1,500 bytes besides. The From_ line is no part of a message, nor is
 * the one blank line before the next; lines quoted as `>From `, `>>From ` lose one `>` (right for
 * mboxrd, and for mboxo but for what was quoted before).
 */
export type MboxPart =
  | { readonly kind: 'body'; readonly number: number; readonly body: Buffer }
  | { readonly kind: 'not-mail'; readonly number: number }
  | { readonly kind: 'over-size'; readonly number: number; readonly bytes: number }
  | { readonly kind: 'done'; readonly number: number }
  | {
      readonly kind: 'cut-off';
      readonly number: number;
      readonly reason: string;
      /** The message, where that is a guess. */
      readonly body: Buffer | undefined;
    };

export interface MboxOptions {
  readonly maxBytes: number;
  /** Whether message `number` (from 1) is not wanted; asked when it begins. */
  readonly isDone: (number: number) => boolean;
}

const LINE_START = Buffer.from('\nFrom ');
const NOTHING = Buffer.alloc(0);

export class MboxSplitter {
  readonly #options: MboxOptions;
  readonly #message: Gathering;
  /** What came and is not yet decided, with some bytes before it. */
  #held: Buffer = NOTHING;
  /** Where in `#held` the search goes on. */
  #searchAt = 0;
  #number = 0;
  #isDone = false;
  #mustBeDated = false;

  constructor(options: MboxOptions) {
    this.#options = options;
    this.#message = new Gathering(options.maxBytes);
  }

  /** Messages begun so far. */
  get count(): number {
    return this.#number;
  }

  /** The first piece begins with the first message's From_ line, and holds all of it. */
  push(piece: Buffer): MboxPart[] {
    const content = this.#held.length === 0 ? piece : Buffer.concat([this.#held, piece]);
    const parts: MboxPart[] = [];
    const keepAt = this.#scan(content, false, parts);
    // A copy: the rest of the piece must not stay in memory for it.
    this.#held = Buffer.from(content.subarray(keepAt));
    this.#searchAt = Math.max(0, this.#searchAt - keepAt);
    return parts;
  }

  /** Nothing follows. Not to be called when the content broke off: its last message is not whole. */
  end(): MboxPart[] {
    const parts: MboxPart[] = [];
    const rest = this.#held;
    const restAt = this.#scan(rest, true, parts);
    const blank = blankLineBefore(rest, rest.length);
    this.#add(rest.subarray(restAt, rest.length - blank));
    parts.push(this.#finish(true, blank > 0));
    this.#held = NOTHING;
    return parts;
  }

  /** Passes through `content`; returns where what must be kept begins. */
  #scan(content: Buffer, isFinal: boolean, parts: MboxPart[]): number {
    let bodyAt = 0;
    if (this.#number === 0) {
      bodyAt = content.indexOf('\n') + 1;
      this.#mustBeDated = bearsDate(content.toString('latin1', 0, bodyAt));
      this.#begin();
      this.#searchAt = bodyAt;
    }
    for (;;) {
      const found = content.indexOf(LINE_START, this.#searchAt);
      if (found === -1) {
        this.#searchAt = Math.max(this.#searchAt, content.length - LINE_START.length + 1);
        break;
      }
      const at = found + 1;
      const answer = judgeSeparator({ content, at, mustBeDated: this.#mustBeDated, isFinal });
      this.#searchAt = found;
      if (answer.kind === 'later') break;
      this.#searchAt = found + LINE_START.length;
      if (answer.kind === 'text') continue;
      this.#add(content.subarray(bodyAt, at - blankLineBefore(content, at)));
      parts.push(this.#finish(false, true));
      this.#begin();
      bodyAt = answer.end;
      this.#searchAt = answer.end - 1;
    }
    if (isFinal) return bodyAt;
    const keepAt = Math.max(bodyAt, Math.min(this.#searchAt, content.length) - LOOK_BEHIND);
    this.#add(content.subarray(bodyAt, keepAt));
    return keepAt;
  }

  #begin(): void {
    this.#number += 1;
    this.#isDone = this.#options.isDone(this.#number);
  }

  #add(piece: Buffer): void {
    if (!this.#isDone) this.#message.add(piece);
  }

  #finish(isLast: boolean, hasBlankLine: boolean): MboxPart {
    const number = this.#number;
    if (this.#isDone) return { kind: 'done', number };
    if (this.#message.isOver) {
      const bytes = this.#message.length;
      this.#message.clear();
      return { kind: 'over-size', number, bytes };
    }
    const body = this.#message.take();
    if (!hasHeader(body)) return { kind: 'not-mail', number };
    const cut = isLast && number > 1 ? whyCutOff(body, hasBlankLine) : undefined;
    if (cut === undefined) return { kind: 'body', number, body: unquote(body) };
    const { reason, isGuess } = cut;
    return { kind: 'cut-off', number, reason, body: isGuess ? unquote(body) : undefined };
  }
}

const LF = 10;
const QUOTE = 62;
const QUOTED = Buffer.from('>From ');

/** Removes one `>` of every quoted From_ line, in place. */
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
