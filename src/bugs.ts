import type { Clock } from './clock.ts';
import { bugText } from './bug-text.ts';
import { LogThrottle } from './logger.ts';
import type { Log, LogFields } from './logger.ts';

/**
 * The errors of this program itself. Each is counted and is one line `daemon.bug` with its stack, the
 * same one at most once a minute; whoever reports it goes on. Nothing of a message or a password gets
 * into the line (`bug-text.ts`).
 */
export interface BugCount {
  /** Since the start. */
  readonly count: number;
  readonly last: {
    readonly where: string;
    readonly error: string;
    /** ISO 8601. */
    readonly at: string;
  } | null;
}

export class Bugs {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #throttle: LogThrottle;
  #seen: BugCount = { count: 0, last: null };

  constructor(options: { readonly clock: Clock; readonly log: Log }) {
    this.#clock = options.clock;
    this.#log = options.log;
    this.#throttle = new LogThrottle(options.clock);
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
    const told = bugText(error);
    const at = new Date(this.#clock.wall()).toISOString();
    this.#seen = { count: this.#seen.count + 1, last: { where, error: told.error, at } };
    // Where it was thrown makes it the same, not the way that led there.
    const [thrownAt = ''] = told.stack.split(' | ', 1);
    if (!this.#throttle.allows(`${where} ${told.error} ${thrownAt}`)) return;
    this.#log(
      'err',
      'daemon.bug',
      `an error of kopano-learnd itself (${where}): ${told.error}; what met it stays and is tried again; please report this line`,
      { ...fields, where, ...told },
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
