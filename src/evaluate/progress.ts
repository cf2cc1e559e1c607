import type { Clock, Timer } from '../clock.ts';
import type { Terminal } from '../text.ts';

interface WorkProgressOptions {
  readonly isQuiet: boolean;
  /** Where it is seen; `undefined` for a pipe or a file. */
  readonly terminal: Terminal | undefined;
  readonly write: (text: string) => void;
  readonly clock: Clock;
}

const BAR_MS = 200;
const LINE_MS = 10_000;
const WIDTH = 20;
const WIPE = '\r\u001b[K';

/**
 * Shows on standard error what an evaluation is at: a bar on a terminal, otherwise a line every ten
 * seconds. Other lines go through `say`, so that the bar doesn't get into them.
 */
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
    if (this.#timer === undefined && !this.#options.isQuiet) this.#plan();
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
    const { terminal, clock, write } = this.#options;
    this.#timer = clock.after(terminal === undefined ? LINE_MS : BAR_MS, () => {
      if (terminal === undefined) write(`${this.#describe()}\n`);
      else this.#show(terminal.columns);
      this.#plan();
    });
  }

  #show(columns: number): void {
    // In its last column a terminal begins a new line, which no return goes back from.
    const bar = this.#describe().slice(0, columns - 1);
    if (bar !== this.#shown) this.#options.write(`${WIPE}${bar}`);
    this.#shown = bar;
  }

  #wipe(): void {
    if (this.#shown !== '') this.#options.write(WIPE);
    this.#shown = '';
  }

  #describe(): string {
    const { terminal, clock } = this.#options;
    const total = this.#total();
    const passedMs = clock.monotonic() - this.#beganAt;
    const rate = passedMs === 0 ? 0 : (this.#done * 1_000) / passedMs;
    if (total === undefined) return `${this.#name}  ${this.#done}/?  ${Math.round(rate)}/s`;
    const share = Math.min(1, this.#done / Math.max(1, total));
    const filled = Math.round(share * WIDTH);
    const bar = terminal && `[${'#'.repeat(filled)}${'-'.repeat(WIDTH - filled)}] `;
    const left = rate > 0 ? `  ${Math.ceil((total - this.#done) / rate)} s left` : '';
    return `${this.#name}  ${bar ?? ''}${this.#done}/${total} ${Math.floor(share * 100)} %  ${Math.round(rate)}/s${left}`;
  }
}
