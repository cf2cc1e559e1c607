import type { Clock, Timer } from '../clock.ts';
import type { RunStats } from './stats.ts';

/**
 * Shows how far a run is: a bar on a terminal, otherwise a line every ten seconds, always on
 * standard error. Other lines go through `say`, so that the bar doesn't get into them.
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
/** The rate is that of the last so many seconds. */
const RATE_SECONDS = 10;
/** What is no message, or an older copy, isn't expected as one either. */
const MESSAGES = ['learned', 'duplicate', 'refused', 'failed', 'deferred', 'doneBefore'] as const;

export class Progress {
  readonly #options: ProgressOptions;
  readonly #samples: { readonly at: number; readonly ended: number }[] = [];
  #timer: Timer | undefined;
  #isBarShown = false;

  constructor(options: ProgressOptions) {
    this.#options = options;
  }

  start(): void {
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
    const { kind, clock, write } = this.#options;
    this.#timer = clock.after(kind === 'bar' ? BAR_MS : LINE_MS, () => {
      const text = this.#describe();
      if (kind === 'bar') write(`\r\u001b[K${text}`);
      else write(`${text}\n`);
      this.#isBarShown = kind === 'bar';
      this.#plan();
    });
  }

  #wipe(): void {
    if (this.#isBarShown) this.#options.write('\r\u001b[K');
    this.#isBarShown = false;
  }

  #describe(): string {
    const { stats, total, kind } = this.#options;
    const ended = MESSAGES.reduce((sum, result) => sum + stats.total(result), 0);
    const all = total();
    const rate = this.#rate(ended);
    const known = all === undefined ? '?' : String(Math.max(all, ended));
    const share = all === undefined || all === 0 ? undefined : Math.min(1, ended / all);
    const left = all === undefined || rate === 0 ? '?' : inClockTime((all - ended) / rate);
    const bar = kind === 'bar' && share !== undefined ? `${barOf(share)} ` : '';
    const percent = share === undefined ? '' : ` ${Math.floor(share * 100)} %`;
    return (
      `${bar}${ended}/${known}${percent}  ${Math.round(rate)}/s  ${left} left  ` +
      `learned ${stats.total('learned')}  known ${stats.total('duplicate')}  ` +
      `refused ${stats.total('refused')}  failed ${stats.total('failed')}`
    );
  }

  /** Messages a second. */
  #rate(ended: number): number {
    const now = this.#options.clock.monotonic();
    this.#samples.push({ at: now, ended });
    const oldest = (): number => this.#samples[0]?.at ?? now;
    while (this.#samples.length > 2 && now - oldest() > RATE_SECONDS * 1_000) this.#samples.shift();
    const [first] = this.#samples;
    if (first === undefined || now === first.at) return 0;
    return ((ended - first.ended) * 1_000) / (now - first.at);
  }
}

function barOf(share: number): string {
  const filled = Math.round(share * BAR_WIDTH);
  return `[${'#'.repeat(filled)}${'-'.repeat(BAR_WIDTH - filled)}]`;
}

/** Seconds as `m:ss` or `h:mm:ss`. */
function inClockTime(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (value: number): string => String(value).padStart(2, '0');
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}:${two(whole % 60)}`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`;
}
