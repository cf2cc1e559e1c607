import type { Clock, Timer } from './clock.ts';
import { say } from './command-options.ts';
import type { CommandOptions } from './command-options.ts';

/**
 * Shows on standard error how far a command is: a bar on a terminal, which is written over, otherwise a
 * line every ten seconds. Other lines go through `say`, so that the bar doesn't get into them.
 */

const BAR_MS = 200;
const LINE_MS = 10_000;
const BAR_WIDTH = 20;
const WIPE = '\r\u001b[K';

export abstract class ProgressLine {
  protected readonly clock: Clock;
  readonly #stderr: Pick<CommandOptions, 'err' | 'errTerminal'>;
  readonly #isQuiet: boolean;
  #timer: Timer | undefined;
  /** What stands on the terminal; empty where no bar does. */
  #shown = '';

  /** @param isQuiet nothing is shown but the lines of `say` */
  constructor(stderr: Pick<CommandOptions, 'err' | 'errTerminal'>, isQuiet: boolean, clock: Clock) {
    this.#stderr = stderr;
    this.#isQuiet = isQuiet;
    this.clock = clock;
  }

  /** What the line says now. */
  protected abstract describe(): string;

  /** Shows the line until `stop`. */
  protected show(): void {
    if (this.#timer === undefined && !this.#isQuiet) this.#plan();
  }

  /** Writes a line of its own. */
  say(line: string): void {
    this.#wipe();
    say(this.#stderr, line);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#wipe();
  }

  /** `50/200 25 %`, behind a bar on a terminal; `50/?` where the total is unknown. */
  protected howFar(done: number, total: number | undefined): string {
    if (total === undefined) return `${done}/?`;
    const share = Math.min(1, done / Math.max(1, total));
    const filled = Math.round(share * BAR_WIDTH);
    const bar = `[${'#'.repeat(filled)}${'-'.repeat(BAR_WIDTH - filled)}] `;
    const isBar = this.#stderr.errTerminal !== undefined;
    return `${isBar ? bar : ''}${done}/${total} ${Math.floor(share * 100)} %`;
  }

  #plan(): void {
    const { err, errTerminal } = this.#stderr;
    this.#timer = this.clock.after(errTerminal === undefined ? LINE_MS : BAR_MS, () => {
      const text = this.describe();
      // In its last column a terminal begins a new line, which no return goes back from.
      if (errTerminal === undefined) err(`${text}\n`);
      else this.#write(text.slice(0, errTerminal.columns - 1));
      this.#plan();
    });
  }

  #write(bar: string): void {
    if (bar !== this.#shown) this.#stderr.err(`${WIPE}${bar}`);
    this.#shown = bar;
  }

  #wipe(): void {
    if (this.#shown !== '') this.#stderr.err(WIPE);
    this.#shown = '';
  }
}
