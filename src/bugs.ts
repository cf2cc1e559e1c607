import type { Clock } from './clock.ts';
import { codeOf } from './errors.ts';
import type { Log, LogFields } from './logger.ts';
import { clean } from './text.ts';

/**
 * The errors of this program itself. Each is counted and is one line `daemon.bug` with its stack, the
 * same one at most once a minute; whoever reports it goes on.
 *
 * An error's own words may repeat whatever was at hand, a mail or a password too (`JSON.parse` quotes
 * its text). So only its kind, those of V8's sentences that hold nothing but names of the program, and
 * the places in the sources are told.
 */
interface BugCount {
  /** Since the start. */
  readonly count: number;
  readonly last: {
    readonly where: string;
    readonly error: string;
    /** ISO 8601. */
    readonly at: string;
  } | null;
}

const SAID_AGAIN_MS = 60_000;

export class Bugs {
  readonly #clock: Clock;
  readonly #log: Log;
  /** When each was last said. The program has only so many places. */
  readonly #saidAt = new Map<string, number>();
  #seen: BugCount = { count: 0, last: null };

  constructor(options: { readonly clock: Clock; readonly log: Log }) {
    this.#clock = options.clock;
    this.#log = options.log;
  }

  get seen(): BugCount {
    return this.#seen;
  }

  /**
   * Counts an error that nobody foresaw, and says it.
   * @param where what was being done, in words
   * @param fields of the message that met it
   */
  report(error: unknown, where: string, fields: LogFields = {}): void {
    const { words, frames } = bugText(error);
    const at = new Date(this.#clock.wall()).toISOString();
    this.#seen = { count: this.#seen.count + 1, last: { where, error: words, at } };
    // Where it was thrown makes it the same, not the way that led there.
    const key = `${where} ${words} ${frames[0] ?? ''}`;
    const now = this.#clock.monotonic();
    if (now - (this.#saidAt.get(key) ?? -Infinity) < SAID_AGAIN_MS) return;
    this.#saidAt.set(key, now);
    this.#log(
      'err',
      'daemon.bug',
      `an error of kopano-learnd itself (${where}): ${words}; what met it stays and is tried again; please report this line`,
      { ...fields, where, error: words, stack: frames.join(' | ') },
    );
  }

  /** Calls `act`, and reports what it throws: for timers and listeners, above which is nobody. */
  guard(where: string, act: () => void): void {
    try {
      act();
    } catch (error) {
      this.report(error, where);
    }
  }
}

/** The same for a terminal. */
export function formatBug(error: unknown): string {
  const { words, frames } = bugText(error);
  const lines = frames.map((frame) => `    ${frame}\n`).join('');
  return `kopano-learnd: an error of the program itself: ${words}\n${lines}Please report it with these lines.\n`;
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

/**
 * What may be told: `words` as in `TypeError: x is not a function`, `frames` as in
 * `at Pickup.start (spool/pickup.js:205:5)`.
 */
function bugText(error: unknown): { readonly words: string; readonly frames: readonly string[] } {
  if (!(error instanceof Error)) {
    return { words: `what was thrown is no error: ${typeof error}`, frames: [] };
  }
  const { message, stack = '' } = error;
  const begin = stack.indexOf(message);
  const frames = stack
    .slice(begin === -1 ? 0 : begin + message.length)
    .split('\n')
    .filter((line) => STACK_FRAME.test(line))
    .slice(0, STACK_FRAMES)
    .map((line) => clean(line.trim().replace(ROOT.href, '').replace(ROOT.pathname, '')));
  return { words: safeWords(error), frames };
}

function safeWords(error: Error): string {
  const { name, message } = error;
  const kind = /^[\w$]{1,60}$/.test(name) ? name : 'Error';
  if (SENTENCES.some((sentence) => sentence.test(message))) return `${kind}: ${clean(message)}`;
  const code = codeOf(error) ?? '';
  return /^[A-Z0-9_]{1,60}$/.test(code) ? `${kind} (${code})` : kind;
}
