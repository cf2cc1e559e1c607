import type { Clock, Timer } from '../clock.ts';
import type { RunStats } from './stats.ts';

/**
 * Shows on standard error how far a run is: a bar on a terminal, otherwise a line every ten seconds.
 * Other lines go through `say`, so that the bar doesn't get into them.
 */
export interface ProgressOptions {
  readonly kind: 'bar' | 'lines' | 'none';
  readonly stats: RunStats;
  /** How many messages there are in all, as far as is known. */
  readonly total: () => number | undefined;
  readonly clock: Clock;
  readonly write: (text: string) => void;
}

const BAR_MS = 200;
const LINE_MS = 10_000;
const BAR_WIDTH = 20;
const WIPE = '\r\u001b[K';

export class Progress {
  readonly #options: ProgressOptions;
  #startedAt = 0;
  #timer: Timer | undefined;
  #isBarShown = false;

  constructor(options: ProgressOptions) {
    this.#options = options;
  }

  start(): void {
    this.#startedAt = this.#options.clock.monotonic();
    if (this.#options.kind !== 'none') this.#plan();
  }

  /** Writes a line of its own. */
  say(line: string): void {
    this.#wipe();
    this.#options.write(`${line}\n`);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#wipe();
  }

  #plan(): void {
    const isBar = this.#options.kind === 'bar';
    this.#timer = this.#options.clock.after(isBar ? BAR_MS : LINE_MS, () => {
      const text = this.#describe();
      this.#options.write(isBar ? `${WIPE}${text}` : `${text}\n`);
      this.#isBarShown = isBar;
      this.#plan();
    });
  }

  #wipe(): void {
    if (this.#isBarShown) this.#options.write(WIPE);
    this.#isBarShown = false;
  }

  #describe(): string {
    const { stats, total, kind, clock } = this.#options;
    const ended = stats.ended + stats.total('doneBefore');
    const all = total();
    const rate = (stats.ended * 1_000) / (clock.monotonic() - this.#startedAt);
    const known = all === undefined ? '?' : String(Math.max(all, ended));
    const share = all === undefined || all === 0 ? undefined : Math.min(1, ended / all);
    const left = all === undefined || rate === 0 ? '?' : inClockTime((all - ended) / rate);
    const bar = kind === 'bar' && share !== undefined ? `${barOf(share)} ` : '';
    const percent = share === undefined ? '' : ` ${Math.floor(share * 100)} %`;
    return (
      `${bar}${ended}/${known}${percent}  ${Math.round(rate)}/s  ${left} left  ` +
      `learned ${stats.total('learned')}  known ${stats.total('known')}  ` +
      `refused ${stats.total('refused')}  failed ${stats.total('failed')}`
    );
  }
}

function barOf(share: number): string {
  const filled = Math.round(share * BAR_WIDTH);
  return `[${'#'.repeat(filled)}${'-'.repeat(BAR_WIDTH - filled)}]`;
}

/** Seconds as `h:mm:ss`. */
function inClockTime(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0');
  return `${Math.floor(whole / 3_600)}:${two((whole % 3_600) / 60)}:${two(whole % 60)}`;
}
