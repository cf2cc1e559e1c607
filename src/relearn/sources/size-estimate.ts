import type { Found } from './source.ts';

/**
 * How many messages a source holds: those found in the files that were read, and one for each file
 * still to be read. Of an mbox, the part that was read tells about the rest.
 */
export class SizeEstimate {
  /** Files that the source holds, as far as their names tell; `undefined` until they are counted. */
  files: number | undefined;
  #filesBegun = 0;
  #found = 0;
  /** Messages that the current file still holds. */
  #rest = 0;

  get expected(): number | undefined {
    if (this.files === undefined) return undefined;
    return this.#found + this.#rest + Math.max(0, this.files - this.#filesBegun);
  }

  fileBegins(): void {
    this.#filesBegun += 1;
    this.#rest = 0;
  }

  /** The current file gave `messages` so far, in this share of its bytes. */
  inside(messages: number, share: number): void {
    this.#rest = share > 0 ? messages / share - messages : 0;
  }

  add({ kind }: Found): void {
    if (kind === 'message' || kind === 'done' || kind === 'failed') this.#found += 1;
  }

  /** All is read. */
  over(): void {
    this.files = this.#filesBegun;
    this.#rest = 0;
  }
}
