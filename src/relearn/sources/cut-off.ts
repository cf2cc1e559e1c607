import { contentLength } from './content-length.ts';
import { headerEnd } from './mail.ts';

/**
 * Was the last message of an mbox cut off? An mbox has no end mark, so this is evidence, and the last
 * rule a guess: it errs to the side of telling, because what followed is lost unseen otherwise, and
 * to the side of teaching, because a last message may lack its line end and be whole.
 */
export interface CutOff {
  readonly reason: string;
  /** It may be whole all the same. */
  readonly isGuess: boolean;
}

const LF = 10;
const BOUNDARY =
  /^content-type[ \t]*:[ \t\r\n]*multipart\/(?:[^\n]|\n[ \t])*?boundary[ \t]*=[ \t]*(?:"([^"\n]+)"|([^\s;"]+))/im;
// How a text ends: a sentence, a bracket, a quotation, a tag, a signature's or boundary's dashes.
const END_OF_TEXT = /(?:[.!?…)\]}>"'`»”’]|--|^)[ \t]*$/u;
const LAST_LINE_BYTES = 400;

/**
 * @param message as it is in the file, still quoted, without the blank line that ended it
 * @param hasBlankLine whether there was one
 * @returns why it is held for cut off; `undefined` when it isn't
 */
export function whyCutOff(message: Buffer, hasBlankLine: boolean): CutOff | undefined {
  if (hasBlankLine) return undefined;
  const end = headerEnd(message);
  if (end === -1) return certain('its header has no end');
  if (message.at(-1) === LF) return undefined;
  const text = message.toString('latin1');
  const header = text.slice(0, end);
  const body = text.slice(end).replace(/^\r?\n/, '');

  const declared = contentLength(header);
  if (declared !== undefined) {
    return body.length >= declared
      ? undefined
      : certain(`${body.length} bytes, Content-Length says ${declared}`);
  }
  const [, quoted, bare] = BOUNDARY.exec(header) ?? [];
  const boundary = quoted ?? bare;
  if (boundary !== undefined) {
    return body.includes(`--${boundary}--`)
      ? undefined
      : certain('the closing boundary is missing');
  }
  const tail = message.subarray(-LAST_LINE_BYTES).toString('utf8');
  const lastLine = tail.slice(tail.lastIndexOf('\n') + 1);
  return END_OF_TEXT.test(lastLine) ? undefined : GUESS;
}

const GUESS: CutOff = {
  reason: 'perhaps cut off: it stops in the middle of a line; taught as it is',
  isGuess: true,
};

function certain(evidence: string): CutOff {
  return { reason: `cut off: ${evidence}`, isGuess: false };
}
