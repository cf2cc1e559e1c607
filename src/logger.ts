import { styleText } from 'node:util';
import { pino } from 'pino';
import type { Clock } from './clock.ts';
import { SEVERITIES } from './settings.ts';
import type { Severity } from './settings.ts';
import { clean, wrap } from './text.ts';
import type { Terminal } from './text.ts';

/**
 * The log: one line an event, with syslog's levels. Every field is a string, number or boolean
 * that the caller has made fit (`text.ts`); errors are never passed, because pino prints a got
 * error with the password header and the whole mail in it.
 */

export type LogEvent =
  | `daemon.${'started' | 'standby' | 'owner' | 'stopped' | 'bug'}`
  | `message.${'learned' | 'duplicate' | 'refused' | 'deferred' | 'quarantined'}`
  | `message.${'withdrawn' | 'superseded' | 'reported' | 'userless'}`
  | `controller.${'up' | 'down' | 'misconfigured' | 'unproven' | 'forgot' | 'limited' | 'outdated'}`
  | `spool.${'adjusted' | 'missing' | 'ignored' | 'stuck'}`
  | `disk.${'fault' | 'ok'}`
  | `status.${'listening' | 'unavailable'}`
  | 'history.broken'
  | 'settings.unknown';

export type { Severity };

export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** Writes one line. `message` says it to a person, `fields` to a machine. */
export type Log = (
  severity: Severity,
  event: LogEvent,
  message: string,
  fields?: LogFields,
) => void;

export interface LoggerOptions {
  /** Least severe level that is written, 0 (emerg) to 7 (debug). */
  readonly level: number;
  /** `auto`: `pretty` on a terminal, else `json`. */
  readonly format: 'auto' | 'json' | 'pretty';
  /** Where the lines are seen; `undefined` for a pipe or a file. */
  readonly terminal?: Terminal | undefined;
  /** journald reads them: each begins with its priority, `<3>` (sd-daemon(3)). */
  readonly isJournal?: boolean;
  /** Takes each finished line, newline included. */
  readonly write: (line: string) => void;
}

/** Makes the log. Writing is synchronous: lines of an asynchronous one are lost at exit. */
export function createLog(options: LoggerOptions): Log {
  const { level, format, terminal, isJournal = false, write } = options;
  const isPretty = format === 'pretty' || (format === 'auto' && terminal !== undefined);
  const levels = Object.fromEntries(SEVERITIES.map((name, number) => [name, number]));
  const lineOf = (json: string): string => (isPretty ? pretty(json, terminal) : json);
  const logger = pino(
    {
      base: null, // no pid, no host name: the collector knows them
      customLevels: levels as Record<Severity, number>,
      useOnlyCustomLevels: true,
      levelComparison: 'DESC',
      level: SEVERITIES[level] ?? 'notice',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (severity, number) => ({ level: number, severity }) },
    },
    {
      write: (json) => write(isJournal ? `<${priorityOf(json)}>${lineOf(json)}` : lineOf(json)),
    },
  );
  return (severity, event, message, fields) => logger[severity]({ event, ...fields }, message);
}

/** Each line of JSON begins with its level. */
function priorityOf(json: string): string {
  return /\d/.exec(json)?.[0] ?? '5';
}

const COLOURS = ['red', 'red', 'red', 'red', 'yellow', 'green', 'gray', 'gray'] as const;

/** A line of JSON as people read it: in UTC, one line; on a terminal in local time, as wide as that. */
function pretty(json: string, terminal: Terminal | undefined): string {
  const record = JSON.parse(json) as Record<string, unknown>;
  const { time, level, severity, event, msg, ...fields } = record;
  const details = Object.entries(fields)
    .filter(([, value]) => !isSaid(value, String(msg)))
    .map(([name, value]) => ` ${name}=${String(value)}`);
  const names = `${String(severity).padEnd(7)} ${String(event).padEnd(24)}`;
  // JSON escapes what would break a line or paint a terminal; here nothing does.
  const text = clean(`${names} ${String(msg)}${details.join('')}`, Infinity);
  if (terminal === undefined) return `${String(time)} ${String(level)} ${text}\n`;
  const clock = new Date(String(time)).toTimeString().slice(0, 8);
  const lines = wrap(`${clock} ${text}`, terminal.columns, ' '.repeat(9));
  const colour = COLOURS[Number(level)];
  if (!terminal.hasColour || colour === undefined) return `${lines}\n`;
  return `${lines.replace(String(severity), (word) => styleText(colour, word, { validateStream: false }))}\n`;
}

/** A field whose words, or whose path, the message has already. */
function isSaid(value: unknown, message: string): boolean {
  return typeof value === 'string' && /[ /]/.test(value) && message.includes(value);
}

/** Lines for journald, each with its priority (sd-daemon(3)). */
export function forJournal(text: string, severity: Severity): string {
  return text.replace(/^(?=.)/gm, `<${SEVERITIES.indexOf(severity)}>`);
}

/**
 * A destination for standard output: synchronous, and deaf to whatever is wrong there. A log reader
 * that goes away (EPIPE), or a full disk, must not take the daemon with it.
 * @param onFault hears what went wrong
 */
export function stdoutWriter(onFault: (error: Error) => void): (line: string) => void {
  const destination = pino.destination({ fd: 1, sync: true });
  destination.on('error', onFault);
  return (line) => destination.write(line);
}

const SAID_AGAIN_MS = 60_000;
const REMEMBERED = 1_000;

/**
 * Lets a repeating line through when its state changes, then at most once a minute: a retry storm
 * must not become a log storm. It remembers the 1,000 names that it let through last.
 */
export class LogThrottle {
  readonly #clock: Clock;
  readonly #last = new Map<string, { state: string; at: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** True when the line about `name`, now in `state`, should be written. */
  allows(name: string, state = ''): boolean {
    const now = this.#clock.monotonic();
    const last = this.#last.get(name);
    if (last?.state === state && now - last.at < SAID_AGAIN_MS) return false;
    this.#last.delete(name);
    const [oldest] = this.#last.keys();
    if (oldest !== undefined && this.#last.size >= REMEMBERED) this.#last.delete(oldest);
    this.#last.set(name, { state, at: now });
    return true;
  }

  forget(name: string): void {
    this.#last.delete(name);
  }
}
