import { afterClaim, claimedEnd } from './content-length.ts';
import { whyCutOff } from './cut-off.ts';
import { Gathering } from './gathering.ts';
import { HEAD_BYTES, headerOf } from './mail.ts';
import { whyPassedOver } from './passed-over.ts';
import { LATER, LOOK_AHEAD, LOOK_BEHIND, TEXT } from './separator.ts';
import type { Dialect, SeparatorAnswer } from './separator.ts';

/**
 * Splits an mbox, or what `doveadm fetch` printed, into messages as it comes, in pieces of any size.
 * It holds one message of at most `maxBytes`, and some 1,500 bytes besides; where a message says how
 * long it is and a separator comes before, what follows up to that length is held as well, which is
 * never more than `maxBytes`, and half as much again where such lengths are wrong.
 *
 * The From_ line is no part of a message, nor is the one blank line before the next; lines quoted as
 * `>From `, `>>From ` lose one `>` (right for mboxrd, and for mboxo but for what was quoted before).
 * Every message has its number, also one that is passed over.
 */
export type MboxPart =
  | { readonly kind: 'body'; readonly number: number; readonly body: Buffer }
  | { readonly kind: 'not-mail'; readonly number: number }
  | { readonly kind: 'passed'; readonly number: number; readonly reason: string }
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
  readonly dialect: Dialect;
  readonly maxBytes: number;
  /** Whether message `number` (from 1) is not wanted; asked when it begins. */
  readonly isDone: (number: number) => boolean;
}

const NOTHING = Buffer.alloc(0);
/** Of what is held for a length that was wrong, so much more comes before the next look. */
const MORE = 0.5;
/**
 * After so many wrong lengths (lines that end otherwise than when they were counted) none is believed:
 * one in a thousand leads to some separator by chance.
 */
const MOST_WRONG = 10;

export class MboxSplitter {
  readonly #options: MboxOptions;
  readonly #dialect: Dialect;
  readonly #message: Gathering;
  /** What came and is not yet decided, with some bytes before it. */
  #held: Buffer = NOTHING;
  /** What came since, while more must come before anything is decided. */
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #wantedBytes = 0;
  /** Where in `#held` the search goes on. */
  #searchAt = 0;
  #number = 0;
  #isDone = false;
  /** Where the message ends by its own word, from its beginning; 0 for nowhere. */
  #claim: number | undefined;
  /** Messages that didn't end where they claimed to, less those that did. */
  #wrongClaims = 0;

  constructor(options: MboxOptions) {
    this.#options = options;
    this.#dialect = options.dialect;
    this.#message = new Gathering(options.maxBytes);
    this.#begin();
  }

  /** Messages begun so far. */
  get count(): number {
    return this.#number;
  }

  /** The first piece begins with the first message's header. */
  push(piece: Buffer): MboxPart[] {
    this.#waiting.push(piece);
    this.#waitingBytes += piece.length;
    const isEnough = this.#held.length + this.#waitingBytes >= this.#wantedBytes;
    return isEnough ? this.#work(false) : [];
  }

  /** Nothing follows. Not to be called when the content broke off: its last message is not whole. */
  end(): MboxPart[] {
    return this.#work(true);
  }

  #work(isFinal: boolean): MboxPart[] {
    const pieces = [this.#held, ...this.#waiting].filter(({ length }) => length > 0);
    const [only = NOTHING] = pieces;
    const content = pieces.length > 1 ? Buffer.concat(pieces) : only;
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#wantedBytes = 0;
    const parts: MboxPart[] = [];
    const keepAt = this.#scan(content, isFinal, parts);
    // A copy: the rest of the piece must not stay in memory for it.
    this.#held = Buffer.from(content.subarray(keepAt));
    this.#searchAt = Math.max(0, this.#searchAt - keepAt);
    return parts;
  }

  /** Passes through `content`; returns where what must be kept begins. */
  #scan(content: Buffer, isFinal: boolean, parts: MboxPart[]): number {
    const { mark, lastEnd } = this.#dialect;
    let bodyAt = 0;
    for (;;) {
      const found = content.indexOf(mark, this.#searchAt);
      if (found === -1) {
        this.#searchAt = Math.max(this.#searchAt, content.length - mark.length + 1);
        break;
      }
      const answer = this.#judge(content, { found, bodyAt }, isFinal);
      this.#searchAt = found;
      if (answer.kind === 'later') break;
      if (answer.kind === 'text') {
        this.#searchAt = answer.until ?? found + mark.length;
        continue;
      }
      this.#message.add(content.subarray(bodyAt, answer.start));
      parts.push(this.#finish(false, true));
      this.#begin();
      bodyAt = answer.end;
      this.#searchAt = answer.end - 1;
    }
    if (isFinal) {
      const end = Math.max(bodyAt, lastEnd(content));
      this.#message.add(content.subarray(bodyAt, end));
      parts.push(this.#finish(true, end < content.length));
      return content.length;
    }
    const keepAt = Math.max(bodyAt, Math.min(this.#searchAt, content.length) - LOOK_BEHIND);
    this.#message.add(content.subarray(bodyAt, keepAt));
    this.#wantedBytes -= keepAt;
    return keepAt;
  }

  /** As the dialect judges; but a separator before the end that the message claims may be its text. */
  #judge(
    content: Buffer,
    { found, bodyAt }: { readonly found: number; readonly bodyAt: number },
    isFinal: boolean,
  ): SeparatorAnswer & { readonly until?: number } {
    const answer = this.#dialect.judge(content, found, isFinal);
    if (answer.kind !== 'separator' || !this.#dialect.isMbox) return answer;
    this.#claim ??= this.#readClaim(content.subarray(bodyAt, found + 1));
    if (this.#claim === 0) return answer;
    const end = bodyAt + this.#claim - this.#message.length;
    const isRight = end >= answer.start && end <= found + 1;
    const mayBeRight = end > found + 1 && this.#claim <= this.#options.maxBytes;
    if (!mayBeRight || this.#wrongClaims > MOST_WRONG) return this.#weighed(answer, isRight);
    const enough = end + LOOK_AHEAD;
    if (!isFinal && content.length < enough) {
      this.#wantedBytes = Math.max(enough, content.length + MORE * (content.length - found));
      return LATER;
    }
    const until = afterClaim(content, end, this.#dialect);
    return until === undefined ? this.#weighed(answer, false) : { ...TEXT, until };
  }

  /** A message ends here: was it as long as it said? */
  #weighed(answer: SeparatorAnswer, isRight: boolean): SeparatorAnswer {
    this.#wrongClaims = Math.max(0, this.#wrongClaims + (isRight ? -1 : 1));
    return answer;
  }

  #readClaim(more: Buffer): number {
    if (this.#message.isOver) return 0;
    return claimedEnd(
      Buffer.concat([this.#message.head(HEAD_BYTES), more.subarray(0, HEAD_BYTES)]),
    );
  }

  #begin(): void {
    this.#number += 1;
    this.#claim = undefined;
    this.#isDone = this.#options.isDone(this.#number);
  }

  #finish(isLast: boolean, hasBlankLine: boolean): MboxPart {
    const number = this.#number;
    const { isMbox } = this.#dialect;
    if (this.#isDone) {
      this.#message.clear();
      return { kind: 'done', number };
    }
    if (this.#message.isOver) {
      const bytes = this.#message.length;
      this.#message.clear();
      return { kind: 'over-size', number, bytes };
    }
    const body = this.#message.take();
    const header = headerOf(body);
    if (header === undefined) return { kind: 'not-mail', number };
    const passed = isMbox ? whyPassedOver(header) : undefined;
    if (passed !== undefined) return { kind: 'passed', number, reason: passed };
    const cut = isLast && number > 1 ? whyCutOff(body, hasBlankLine) : undefined;
    const unquoted = isMbox ? unquote(body) : body;
    if (cut === undefined) return { kind: 'body', number, body: unquoted };
    const { reason, isGuess } = cut;
    return { kind: 'cut-off', number, reason, body: isGuess ? unquoted : undefined };
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
