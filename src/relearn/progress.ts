import type { Clock, Timer } from '../clock.ts';
import { wrap } from '../text.ts';
import type { Kind, RunStats } from './stats.ts';

/**
 * Shows on standard error how far a run is: a bar on a terminal, otherwise a line every ten seconds.
 * Other lines go through `say`, so that the bar doesn't get into them.
 */
export interface ProgressOptions {
  readonly kind: 'bar' | 'lines' | 'none';
  readonly stats: RunStats;
  /** How many messages rspamd has acknowledged whose proof is still to come. */
  readonly acknowledged: () => number;
  /** How many messages there are in all, as far as is known. */
  readonly total: () => number | undefined;
  /** How wide the terminal is now. */
  readonly columns: () => number;
  readonly clock: Clock;
  readonly write: (text: string) => void;
}

const BAR_MS = 200;
const LINE_MS = 10_000;
const BAR_WIDTH = 20;
const WIPE = '\r\u001b[K';
/** Nothing is estimated before: neither how many messages an mbox holds, nor how fast they go. */
const MEASURED_MS = 2_000;
/** What an mbox still holds is estimated anew all the time; what is shown of it changes slowly. */
const LARGEST_STEP = 1.25;
const COUNTS: readonly Kind[] = ['learned', 'known', 'refused', 'failed'];

export class Progress {
  readonly #options: ProgressOptions;
  #startedAt = 0;
  /** When the first message was under way. */
  #begunAt = 0;
  #total: number | undefined;
  #timer: Timer | undefined;
  /** What stands on the terminal; empty where no bar does. */
  #shown = '';

  constructor(options: ProgressOptions) {
    this.#options = options;
  }

  start(): void {
    this.#startedAt = this.#begunAt = this.#options.clock.monotonic();
    if (this.#options.kind !== 'none') this.#plan();
  }

  /** Writes a line of its own. */
  say(line: string): void {
    this.#wipe();
    const { write, columns } = this.#options;
    write(`${wrap(line, columns(), '    ')}\n`);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#wipe();
  }

  #plan(): void {
    const { kind, clock, write } = this.#options;
    const isBar = kind === 'bar';
    this.#timer = clock.after(isBar ? BAR_MS : LINE_MS, () => {
      const text = this.#describe();
      if (isBar) this.#show(text);
      else write(`${text}\n`);
      this.#plan();
    });
  }

  #show(text: string): void {
    const { write, columns } = this.#options;
    // In its last column a terminal begins a new line, which no return goes back from.
    const bar = text.slice(0, columns() - 1);
    if (bar !== this.#shown) write(`${WIPE}${bar}`);
    this.#shown = bar;
  }

  #wipe(): void {
    if (this.#shown !== '') this.#options.write(WIPE);
    this.#shown = '';
  }

  #describe(): string {
    const { stats, kind, clock, acknowledged } = this.#options;
    const now = clock.monotonic();
    const posted = stats.ended + acknowledged();
    if (posted === 0) this.#begunAt = now;
    const passedMs = now - this.#begunAt;
    const done = posted + stats.total('doneBefore');
    const total = this.#totalAt(now, done);
    const rate = passedMs === 0 ? 0 : (posted * 1_000) / passedMs;
    const isMeasured = total !== undefined && rate > 0 && passedMs >= MEASURED_MS;
    const counts = COUNTS.filter((each) => stats.total(each) > 0);
    return [
      total === undefined ? `${done}/?` : howFar(done, total, kind === 'bar'),
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

function howFar(done: number, total: number, hasBar: boolean): string {
  const share = done / Math.max(1, total);
  const filled = Math.round(share * BAR_WIDTH);
  const bar = `[${'#'.repeat(filled)}${'-'.repeat(BAR_WIDTH - filled)}] `;
  return `${hasBar ? bar : ''}${done}/${total} ${Math.floor(share * 100)} %`;
}

/** Seconds as `h:mm:ss`. */
function inClockTime(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0');
  return `${Math.floor(whole / 3_600)}:${two((whole % 3_600) / 60)}:${two(whole % 60)}`;
}
