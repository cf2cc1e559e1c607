import type { Clock } from '../clock.ts';
import type { CommandOptions } from '../command-options.ts';
import { ProgressLine } from '../progress-line.ts';
import type { Kind, RunStats } from './stats.ts';

interface ProgressOptions extends Pick<CommandOptions, 'err' | 'errTerminal'> {
  readonly isQuiet: boolean;
  readonly clock: Clock;
  readonly stats: RunStats;
  /** How many messages rspamd has acknowledged whose proof is still to come. */
  readonly acknowledged: () => number;
  /** How many messages there are in all, as far as is known. */
  readonly total: () => number | undefined;
}

/** Nothing is estimated before: neither how many messages an mbox holds, nor how fast they go. */
const MEASURED_MS = 2_000;
/** What an mbox still holds is estimated anew all the time; what is shown of it changes slowly. */
const LARGEST_STEP = 1.25;
const COUNTS: readonly Kind[] = ['learned', 'known', 'refused', 'failed'];

/** Shows how far a run is, and how long it will take. */
export class Progress extends ProgressLine {
  readonly #options: ProgressOptions;
  #startedAt = 0;
  /** When the first message was under way. */
  #begunAt = 0;
  #total: number | undefined;

  constructor(options: ProgressOptions) {
    super(options, options.isQuiet, options.clock);
    this.#options = options;
  }

  start(): void {
    this.#startedAt = this.#begunAt = this.clock.monotonic();
    this.show();
  }

  protected override describe(): string {
    const { stats, acknowledged } = this.#options;
    const now = this.clock.monotonic();
    const posted = stats.ended + acknowledged();
    if (posted === 0) this.#begunAt = now;
    const passedMs = now - this.#begunAt;
    const done = posted + stats.total('doneBefore');
    const total = this.#totalAt(now, done);
    const rate = passedMs === 0 ? 0 : (posted * 1_000) / passedMs;
    const isMeasured = total !== undefined && rate > 0 && passedMs >= MEASURED_MS;
    const counts = COUNTS.filter((each) => stats.total(each) > 0);
    return [
      this.howFar(done, total),
      `${Math.round(rate)}/s`,
      `${isMeasured ? inClockTime((total - done) / rate) : '?'} left`,
      ...counts.map((each) => `${each} ${stats.total(each)}`),
    ].join('  ');
  }

  #totalAt(now: number, done: number): number | undefined {
    const estimate = this.#options.total();
    if (estimate === undefined || now - this.#startedAt < MEASURED_MS) return undefined;
    const last = this.#total ?? estimate;
    const near = Math.min(Math.max(estimate, last / LARGEST_STEP), last * LARGEST_STEP);
    this.#total = Math.max(done, Math.round(near));
    return this.#total;
  }
}

/** Seconds as `h:mm:ss`. */
function inClockTime(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0');
  return `${Math.floor(whole / 3_600)}:${two((whole % 3_600) / 60)}:${two(whole % 60)}`;
}
