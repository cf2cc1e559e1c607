import type { Clock, Timer } from '../clock.ts';

/**
 * Shows on standard error what an evaluation is at: a bar on a terminal, otherwise a line every ten
 * seconds. Other lines go through `say`, so that the bar doesn't get into them.
 */
export interface WorkProgressOptions {
  readonly kind: 'bar' | 'lines' | 'none';
  readonly clock: Clock;
  readonly write: (text: string) => void;
  /** How wide the terminal is now. */
  readonly columns: () => number;
}

const BAR_MS = 200;
const LINE_MS = 10_000;
const WIDTH = 20;
const WIPE = '\r\u001b[K';

export class WorkProgress {
  readonly #options: WorkProgressOptions;
  #timer: Timer | undefined;
  #shown = '';
  #name = '';
  #done = 0;
  #total: () => number | undefined = () => undefined;
  #beganAt = 0;

  constructor(options: WorkProgressOptions) {
    this.#options = options;
  }

  /** A part of the work begins. @param total its steps, as far as is known */
  begin(name: string, total: () => number | undefined): void {
    this.#name = name;
    this.#done = 0;
    this.#total = total;
    this.#beganAt = this.#options.clock.monotonic();
    if (this.#timer === undefined && this.#options.kind !== 'none') this.#plan();
  }

  step(): void {
    this.#done += 1;
  }

  /** Writes a line of its own. */
  say(line: string): void {
    this.#wipe();
    this.#options.write(`${line}\n`);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#wipe();
  }

  #plan(): void {
    const { kind, clock, write, columns } = this.#options;
    this.#timer = clock.after(kind === 'bar' ? BAR_MS : LINE_MS, () => {
      const text = this.#describe();
      if (kind === 'bar') {
        // In its last column a terminal begins a new line, which no return goes back from.
        const bar = text.slice(0, columns() - 1);
        if (bar !== this.#shown) write(`${WIPE}${bar}`);
        this.#shown = bar;
      } else {
        write(`${text}\n`);
      }
      this.#plan();
    });
  }

  #wipe(): void {
    if (this.#shown !== '') this.#options.write(WIPE);
    this.#shown = '';
  }

  #describe(): string {
    const { kind, clock } = this.#options;
    const total = this.#total();
    const passedMs = clock.monotonic() - this.#beganAt;
    const rate = passedMs === 0 ? 0 : (this.#done * 1_000) / passedMs;
    if (total === undefined) return `${this.#name}  ${this.#done}/?  ${Math.round(rate)}/s`;
    const share = Math.min(1, this.#done / Math.max(1, total));
    const filled = Math.round(share * WIDTH);
    const bar = kind === 'bar' ? `[${'#'.repeat(filled)}${'-'.repeat(WIDTH - filled)}] ` : '';
    const left = rate > 0 ? `  ${Math.ceil((total - this.#done) / rate)} s left` : '';
    return `${this.#name}  ${bar}${this.#done}/${total} ${Math.floor(share * 100)} %  ${Math.round(rate)}/s${left}`;
  }
}
