import type { Clock, Timer } from '../../src/clock.ts';
import { Pace } from './until.ts';

/** Any moment will do; what it names are archive days. */
export const START = Date.UTC(2026, 2, 14, 12, 0, 0);

interface Alarm {
  readonly at: number;
  readonly callback: () => void;
}

/**
 * Time that a test owns: it stands still until it is told to go on. Timers fire in the order of
 * their times, those of one time in the order in which they were set.
 */
export class ManualClock implements Clock {
  /** What every reading takes, in milliseconds; as in life, where two of them never agree. */
  readingMs = 0;
  #now = 0;
  readonly #alarms = new Set<Alarm>();

  monotonic(): number {
    this.#now += this.readingMs;
    return this.#now;
  }

  wall(): number {
    return START + this.#now;
  }

  /** Counts in whole milliseconds, as `setTimeout` does: a timer may go off a bit too early. */
  after(ms: number, callback: () => void): Timer {
    const alarm = { at: this.#now + Math.max(0, Math.trunc(ms)), callback };
    this.#alarms.add(alarm);
    return {
      cancel: () => this.#alarms.delete(alarm),
    };
  }

  /** Timers that are set. */
  get timers(): number {
    return this.#alarms.size;
  }

  /** Lets `ms` milliseconds pass, firing what falls due, also what that sets. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      this.#alarms.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.callback();
    }
    this.#now = Math.max(this.#now, end);
  }

  /**
   * Lets time flow, `stepMs` with each turn of the event loop, until `isSo`. It stands still while
   * the disk is at work, which takes no time in this world: however slow the machine is, a test sees
   * the same.
   * @throws when that takes two minutes of real time
   */
  async flowUntil(what: string, isSo: () => boolean, stepMs = 10): Promise<void> {
    const pace = new Pace(what);
    while (!isSo()) {
      if (isDiskAtWork()) {
        await pace.wait();
        continue;
      }
      this.advance(stepMs);
      if (!isSo()) await pace.turn();
    }
  }

  /** Lets `ms` milliseconds flow, and gives what they set off the event loop in between. */
  async flow(ms: number, stepMs = 10): Promise<void> {
    const end = this.#now + ms;
    await this.flowUntil(`${ms} ms passed`, () => this.#now >= end, stepMs);
  }

  #next(end: number): Alarm | undefined {
    let first: Alarm | undefined;
    for (const alarm of this.#alarms) {
      if (alarm.at <= end && (first === undefined || alarm.at < first.at)) first = alarm;
    }
    return first;
  }
}

/** True while Node's calls to the file system are under way, closing what was opened included. */
function isDiskAtWork(): boolean {
  return process
    .getActiveResourcesInfo()
    .some((name) => name === 'FSReqPromise' || name === 'FSReqCallback' || name === 'CloseReq');
}
