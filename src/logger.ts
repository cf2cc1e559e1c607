import { pino } from 'pino';
import type { Clock } from './clock.ts';
import { clean } from './text.ts';

/**
 * The log: one line an event, with syslog's levels. Every field is a string, number or boolean
 * that the caller has made fit (`text.ts`); errors are never passed, because pino prints a got
 * error with the password header and the whole mail in it.
 */

/** Syslog's severities by number, the most severe first. */
export const SEVERITIES = [
  'emerg',
  'alert',
  'crit',
  'err',
  'warning',
  'notice',
  'info',
  'debug',
] as const;

export type Severity = (typeof SEVERITIES)[number];

export type LogEvent =
  | 'daemon.started'
  | 'daemon.standby'
  | 'daemon.owner'
  | 'daemon.stopped'
  | 'daemon.bug'
  | 'message.learned'
  | 'message.duplicate'
  | 'message.refused'
  | 'message.deferred'
  | 'message.quarantined'
  | 'message.withdrawn'
  | 'message.superseded'
  | 'controller.down'
  | 'controller.misconfigured'
  | 'controller.unproven'
  | 'controller.forgot'
  | 'controller.limited'
  | 'controller.outdated'
  | 'controller.up'
  | 'spool.adjusted'
  | 'spool.missing'
  | 'spool.ignored'
  | 'spool.stuck'
  | 'disk.fault'
  | 'disk.ok'
  | 'status.listening'
  | 'status.unavailable';

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
  readonly format: 'json' | 'pretty';
  /** Takes each finished line, newline included. */
  readonly write: (line: string) => void;
}

/** Makes the log. Writing is synchronous: lines of an asynchronous one are lost at exit. */
export function createLog(options: LoggerOptions): Log {
  const write = options.format === 'json' ? options.write : prettyWriter(options.write);
  const logger = pino(
    {
      base: null, // no pid, no host name: the collector knows them
      customLevels: Object.fromEntries(SEVERITIES.map((name, level) => [name, level])) as Record<
        Severity,
        number
      >,
      useOnlyCustomLevels: true,
      levelComparison: 'DESC',
      level: SEVERITIES[options.level] ?? 'notice',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (severity, level) => ({ level, severity }) },
    },
    { write },
  );
  return (severity, event, message, fields) => {
    logger[severity]({ event, ...fields }, message);
  };
}

/**
 * A destination for standard output: synchronous, and deaf to whatever is wrong there. A log reader
 * that goes away (EPIPE), or a full disk, must not take the daemon with it.
 * @param onFault hears what went wrong
 */
export function stdoutWriter(onFault: (error: Error) => void): (line: string) => void {
  const destination = pino.destination({ fd: 1, sync: true });
  destination.on('error', onFault);
  return (line) => {
    destination.write(line);
  };
}

function prettyWriter(write: (line: string) => void): (line: string) => void {
  return (line) => {
    const { time, level, severity, event, msg, ...fields } = JSON.parse(line) as Record<
      string,
      unknown
    >;
    const details = Object.entries(fields).map(([name, value]) => ` ${name}=${String(value)}`);
    const text =
      `${String(time)} ${String(level)} ${String(severity).padEnd(7)} ` +
      `${String(event).padEnd(24)} ${String(msg)}${details.join('')}`;
    // JSON escapes what would break a line or paint a terminal; here nothing does.
    write(`${clean(text, Infinity)}\n`);
  };
}

/**
 * Lets a repeating line through when its state changes, then at most once a minute: a retry storm
 * must not become a log storm. It remembers at most 1,000 names.
 */
export class LogThrottle {
  static readonly #intervalMs = 60_000;
  static readonly #limit = 1_000;
  readonly #clock: Clock;
  readonly #last = new Map<string, { state: string; at: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** True when the line about `name`, now in `state`, should be written. */
  allows(name: string, state = ''): boolean {
    const now = this.#clock.monotonic();
    const last = this.#last.get(name);
    if (last !== undefined && last.state === state && now - last.at < LogThrottle.#intervalMs) {
      return false;
    }
    this.#last.delete(name);
    for (const [old, { at }] of this.#last) {
      if (now - at < LogThrottle.#intervalMs) break;
      this.#last.delete(old); // it says nothing any more
    }
    if (this.#last.size >= LogThrottle.#limit) {
      const oldest = this.#last.keys().next();
      if (oldest.done !== true) this.#last.delete(oldest.value);
    }
    this.#last.set(name, { state, at: now });
    return true;
  }

  forget(name: string): void {
    this.#last.delete(name);
  }
}
