import { codeOf } from './errors.ts';
import { clean } from './text.ts';

/**
 * What may be told of an error of this program. An error's own words may repeat whatever was at hand,
 * a mail or a password too (`JSON.parse` quotes its text): only its kind, those of V8's sentences that
 * hold nothing but names of the program, and the places in the sources are shown.
 */
export interface BugText {
  /** `TypeError: x is not a function` */
  readonly error: string;
  /** Where it came from, in one line: `at Pickup.start (spool/pickup.js:205:5) | at ...` */
  readonly stack: string;
}

/** V8's sentences that name what stands in the source, never what a variable holds. */
const SENTENCES = [
  /^Cannot (?:read|set) properties of (?:undefined|null)(?: \((?:reading|setting) '[\w$#]{1,60}'\))?$/,
  /^(?:\(intermediate value\)|[\w$#]+)(?:\.[\w$#]+|\(\.\.\.\)|\[\.\.\.\])* is not (?:a function|a constructor|defined|iterable)$/,
  /^Cannot access '[\w$#]+' before initialization$/,
  /^Assignment to constant variable\.$/,
  /^Maximum call stack size exceeded$/,
  /^Invalid (?:array|string) length$/,
];

/** One line of a stack; anything else in it may be a line of the error's words. */
const STACK_FRAME =
  /^ {4}at (?:async )?(?:[\w$.<>#[\] ]+ \()?(?:(?:file:\/\/|node:|\/)[^\s()]+:\d+:\d+|<anonymous>|index \d+)\)?$/;
const STACK_FRAMES = 10;

const ROOT = new URL('.', import.meta.url);

export function bugText(error: unknown): BugText {
  if (!(error instanceof Error)) {
    return { error: `what was thrown is no error: ${typeof error}`, stack: '' };
  }
  return { error: safeWords(error), stack: safeFrames(error).join(' | ') };
}

/** The same for a terminal. */
export function formatBug(error: unknown): string {
  const told = bugText(error);
  const lines = [`kopano-learnd: an error of the program itself: ${told.error}`];
  if (told.stack !== '') lines.push(...told.stack.split(' | ').map((frame) => `    ${frame}`));
  return `${lines.join('\n')}\nPlease report it with these lines.\n`;
}

function safeWords(error: Error): string {
  const { name, message } = error;
  const kind = /^[\w$]{1,60}$/.test(name) ? name : 'Error';
  if (SENTENCES.some((sentence) => sentence.test(message))) return `${kind}: ${clean(message)}`;
  const code = codeOf(error) ?? '';
  return /^[A-Z0-9_]{1,60}$/.test(code) ? `${kind} (${code})` : kind;
}

function safeFrames({ stack, message }: Error): readonly string[] {
  const text = stack ?? '';
  const begin = text.indexOf(message);
  return text
    .slice(begin === -1 ? 0 : begin + message.length)
    .split('\n')
    .filter((line) => STACK_FRAME.test(line))
    .slice(0, STACK_FRAMES)
    .map((line) => clean(line.trim().replace(ROOT.href, '').replace(ROOT.pathname, '')));
}
