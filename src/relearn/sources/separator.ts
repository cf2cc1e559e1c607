/**
 * How the messages of one content are told apart: what both kinds of it have in common, and which
 * `From ` line of an mbox begins a message and which is text that nobody quoted. There is no
 * standard for those; these rules take what the programs write that are in use, and are strict where
 * an unquoted line of a text could pass.
 */
export interface Dialect {
  /** What every separator holds. */
  readonly mark: Buffer;
  /** Judges what is at `found`, where the mark was found. */
  readonly judge: (content: Buffer, found: number, isFinal: boolean) => SeparatorAnswer;
  /** Where the last message ends. */
  readonly lastEnd: (content: Buffer) => number;
  /** Its messages have lines quoted, and say whether they were deleted and how long they are. */
  readonly isMbox: boolean;
}

export type SeparatorAnswer =
  /** `start`: where the message before it ends; `end`: where the next one begins. */
  | { readonly kind: 'separator'; readonly start: number; readonly end: number }
  | { readonly kind: 'text' }
  /** More of the content must come first. */
  | { readonly kind: 'later' };

export const TEXT: SeparatorAnswer = { kind: 'text' };
export const LATER: SeparatorAnswer = { kind: 'later' };

const LF = 10;
const CR = 13;
/** Longer ones nobody writes. */
const LONGEST_LINE = 1_024;
/** So much of the next line shows whether it is a field. */
const LONGEST_FIELD_NAME = 512;

const FIELD = /^(?:[!-9;-~]+[ \t]*:|>From )/;
/** May become a field when more of it has come. */
const UNFINISHED_FIELD = /^[!-9;-~]*[ \t]*$/;
const TIME = /\b\d{1,2}:\d\d\b/;
const YEAR = /\b\d{4}\b/;
const DATE_AT_END = /\d{1,2}:\d\d(?::\d\d)?\b.*\b\d{4}(?: [+-]\d{4}| [A-Z]{3,5})?[ \t\r]*$/;
/** What `git format-patch` writes above each patch, always with this date. */
const GIT = /^From [0-9a-f]{40,64} Mon Sep 17 00:00:00 2001\r?$/;
/** What Thunderbird writes since version 115; it quotes every such line of a text. */
const BARE = /^From \r?$/;

/** At most so many bytes after the mark are looked at. */
export const LOOK_AHEAD = LONGEST_LINE + LONGEST_FIELD_NAME + 1;
/** So many bytes before the mark are looked at. */
export const LOOK_BEHIND = 3;

/** @param firstLine the From_ line that the file begins with */
export function mboxDialect(firstLine: string): Dialect {
  const mustBeDated = bearsDate(firstLine);
  // A series of patches is an mbox of its own.
  const isOfGit = GIT.test(firstLine);
  return {
    mark: Buffer.from('\nFrom '),
    isMbox: true,
    judge: (content, found, isFinal) => {
      const at = found + 1;
      const lineEnd = content.subarray(at, at + LONGEST_LINE).indexOf(LF) + at;
      if (lineEnd < at) return isFinal || content.length - at >= LONGEST_LINE ? TEXT : LATER;
      const line = content.toString('latin1', at, lineEnd);
      const blank = blankLineBefore(content, at);
      if (!BARE.test(line)) {
        const isDated = blank > 0 ? !mustBeDated || bearsDate(line) : endsWithDate(line);
        if (!isDated || (GIT.test(line) && !isOfGit)) return TEXT;
      }
      return beforeField(content, { start: at - blank, end: lineEnd + 1 }, isFinal);
    },
    lastEnd: (content) => content.length - blankLineBefore(content, content.length),
  };
}

/** A separator when a field follows it. */
export function beforeField(
  content: Buffer,
  between: { readonly start: number; readonly end: number },
  isFinal: boolean,
): SeparatorAnswer {
  const next = content.toString('latin1', between.end, between.end + LONGEST_FIELD_NAME);
  if (FIELD.test(next)) return { kind: 'separator', ...between };
  const mayBecome = UNFINISHED_FIELD.test(next) || '>From '.startsWith(next);
  return mayBecome && !isFinal && next.length < LONGEST_FIELD_NAME ? LATER : TEXT;
}

function bearsDate(line: string): boolean {
  return TIME.test(line) && YEAR.test(line);
}

/** As every program dates a From_ line: nothing but a time zone may follow the year. */
export function endsWithDate(line: string): boolean {
  return DATE_AT_END.test(line);
}

/** The length of the blank line that ends at `at`: 0 when there is none. */
export function blankLineBefore(content: Buffer, at: number): number {
  if (content[at - 1] !== LF) return 0;
  if (content[at - 2] === LF) return 1;
  return content[at - 2] === CR && content[at - 3] === LF ? 2 : 0;
}
