/**
 * How the messages of one content are told apart: what both kinds of it have in common, and which
 * `From ` line of an mbox begins a message and which is text that nobody quoted. No standard says it;
 * these rules take what the programs in use write, and are strict where an unquoted line of a text
 * could pass.
 */
export interface Dialect {
  /** What every separator holds. */
  readonly mark: Buffer;
  /**
   * Judges the mark at `found`, of which `LOOK_AHEAD` bytes are there unless the content ends;
   * `undefined` where it is text.
   */
  readonly judge: (content: Buffer, found: number) => Separator | undefined;
  /** Lines of its messages are quoted, and its messages say how long they are and whether deleted. */
  readonly isMbox: boolean;
}

/** `start`: where the message before it ends; `end`: where the next one begins. */
export interface Separator {
  readonly start: number;
  readonly end: number;
}

export const LF = 10;
const CR = 13;
/** Longer ones nobody writes. */
const LONGEST_LINE = 1_024;
/** So much of the next line shows whether it is a field. */
const LONGEST_FIELD_NAME = 512;
/** A separator and the name of the field behind it are not longer. */
export const LOOK_AHEAD = 4_096;

const FIELD_BEGIN = /^(?:[!-9;-~]+[ \t]*:|>From )/;
const TIME = /\b\d{1,2}:\d\d\b/;
const YEAR = /\b\d{4}\b/;
const DATE_AT_END = /\d{1,2}:\d\d(?::\d\d)?\b.*\b\d{4}(?: [+-]\d{4}| [A-Z]{3,5})?[ \t\r]*$/;
/** What `git format-patch` writes above each patch, always with this date. */
const GIT = /^From [0-9a-f]{40,64} Mon Sep 17 00:00:00 2001\r?$/;
/** What Thunderbird writes since version 115; it quotes every such line of a text. */
const BARE = /^From \r?$/;

/** @param firstLine the From_ line that the file begins with */
export function mboxDialect(firstLine: string): Dialect {
  const mustBeDated = bearsDate(firstLine);
  // A series of patches is an mbox of its own.
  const isOfGit = GIT.test(firstLine);
  return {
    mark: Buffer.from('\nFrom '),
    isMbox: true,
    judge: (content, found) => {
      const at = found + 1;
      const lineEnd = content.subarray(at, at + LONGEST_LINE).indexOf(LF) + at;
      if (lineEnd < at) return undefined;
      const line = content.toString('latin1', at, lineEnd);
      const blank = blankLineBefore(content, at);
      if (!BARE.test(line)) {
        const isDated = blank > 0 ? !mustBeDated || bearsDate(line) : endsWithDate(line);
        if (!isDated || (GIT.test(line) && !isOfGit)) return undefined;
      }
      return beforeField(content, { start: at - blank, end: lineEnd + 1 });
    },
  };
}

/** A separator when a field follows it. */
export function beforeField(content: Buffer, between: Separator): Separator | undefined {
  const next = content.toString('latin1', between.end, between.end + LONGEST_FIELD_NAME);
  return FIELD_BEGIN.test(next) ? between : undefined;
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

/** The length of the line end at `at`: 0 when there is none. */
export function lineEndAt(content: Buffer, at: number): number {
  if (content[at] === LF) return 1;
  return content[at] === CR && content[at + 1] === LF ? 2 : 0;
}
