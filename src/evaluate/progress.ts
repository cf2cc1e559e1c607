import { ProgressLine } from '../progress-line.ts';

/** Shows what an evaluation is at. */
export class WorkProgress extends ProgressLine {
  #name = '';
  #done = 0;
  #total: () => number | undefined = () => undefined;
  #beganAt = 0;

  /** A part of the work begins. @param total its steps, as far as is known */
  begin(name: string, total: () => number | undefined): void {
    this.#name = name;
    this.#done = 0;
    this.#total = total;
    this.#beganAt = this.clock.monotonic();
    this.show();
  }

  step(): void {
    this.#done += 1;
  }

  protected override describe(): string {
    const total = this.#total();
    const passedMs = this.clock.monotonic() - this.#beganAt;
    const rate = passedMs === 0 ? 0 : (this.#done * 1_000) / passedMs;
    const isKnown = total !== undefined && rate > 0;
    const left = isKnown ? `  ${Math.ceil((total - this.#done) / rate)} s left` : '';
    return `${this.#name}  ${this.howFar(this.#done, total)}  ${Math.round(rate)}/s${left}`;
  }
}
