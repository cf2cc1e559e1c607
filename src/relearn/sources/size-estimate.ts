import type { Found } from './source.ts';

/**
 * How many messages a source holds: those found in the files that were read, and one for each file
 * still to be read. Of a file that holds several, the part that was read tells about the rest.
 */
export class SizeEstimate {
  #files: number | undefined;
  #filesBegun = 0;
  #found = 0;
  /** Messages that the current file still holds. */
  #rest = 0;

  get expected(): number | undefined {
    if (this.#files === undefined) return undefined;
    return this.#found + this.#rest + Math.max(0, this.#files - this.#filesBegun);
  }

  /** So many files there are, as far as their names tell. */
  counted(files: number): void {
    this.#files = files;
  }

  /** One of the counted files is about to be read, or is not wanted. */
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
    this.#files = this.#filesBegun;
    this.#rest = 0;
  }
}
