/**
 * Which `From ` line of an mbox begins a message, and which is text that nobody quoted. There is no
 * standard; these rules take what the programs write that are in use, and are strict where an
 * unquoted line of a text could pass.
 */

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

/** At most so many bytes after the line's start are looked at. */
export const LOOK_AHEAD = LONGEST_LINE + LONGEST_FIELD_NAME;
/** So many bytes before the line's start are looked at. */
export const LOOK_BEHIND = 3;

export type SeparatorAnswer =
  | { readonly kind: 'separator'; readonly end: number; readonly isDated: boolean }
  | { readonly kind: 'text' }
  /** More of the content must come first. */
  | { readonly kind: 'later' };

const TEXT: SeparatorAnswer = { kind: 'text' };
const LATER: SeparatorAnswer = { kind: 'later' };

export interface SeparatorQuestion {
  readonly content: Buffer;
  /** Where the line begins. */
  readonly at: number;
  /** The first separator of the file bore a date: all must. */
  readonly mustBeDated: boolean;
  /** Nothing follows the content. */
  readonly isFinal: boolean;
}

/** Judges a line that starts with `From `, anywhere but at the start of the file. */
export function judgeSeparator({
  content,
  at,
  mustBeDated,
  isFinal,
}: SeparatorQuestion): SeparatorAnswer {
  const lineEnd = content.subarray(at, at + LONGEST_LINE).indexOf(LF) + at;
  if (lineEnd < at) {
    return isFinal || content.length - at >= LONGEST_LINE ? TEXT : LATER;
  }
  const line = content.toString('latin1', at, lineEnd);
  const isDated = bearsDate(line);
  if (blankLineBefore(content, at) > 0) {
    if (mustBeDated && !isDated) return TEXT;
  } else if (!endsWithDate(line)) {
    return TEXT;
  }
  const next = content.toString('latin1', lineEnd + 1, lineEnd + 1 + LONGEST_FIELD_NAME);
  if (FIELD.test(next)) return { kind: 'separator', end: lineEnd + 1, isDated };
  const mayBecome = UNFINISHED_FIELD.test(next) || '>From '.startsWith(next);
  return mayBecome && !isFinal && next.length < LONGEST_FIELD_NAME ? LATER : TEXT;
}

export function bearsDate(line: string): boolean {
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
