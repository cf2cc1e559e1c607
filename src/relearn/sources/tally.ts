import type { Found } from './source.ts';

/**
 * How many messages a source holds: what was found in the files read so far, and a file each for
 * those that are still to be read. Of a file that holds several, the part that was read tells about
 * the rest.
 */
export class Tally {
  #files: number | undefined;
  #read = 0;
  #found = 0;
  #ahead = 0;
  #isOver = false;

  get expected(): number | undefined {
    if (this.#isOver) return this.#found;
    if (this.#files === undefined) return undefined;
    return this.#found + this.#ahead + Math.max(0, this.#files - this.#read);
  }

  /** So many files there are in all, as far as their names tell. */
  counted(files: number): void {
    this.#files = files;
  }

  /** A file that `counted` counted is about to be read, or is not wanted. */
  file(): void {
    this.#read += 1;
    this.#ahead = 0;
  }

  /** In the file that is being read: `found` messages so far, in this share of its bytes. */
  inside(found: number, given: number, share: number): void {
    this.#ahead = share > 0 ? Math.max(0, found / share - given) : 0;
  }

  add(found: Found): void {
    switch (found.kind) {
      case 'message':
      case 'done':
      case 'failed':
        this.#found += 1;
        break;
      case 'skipped':
      case 'passed':
      case 'older':
        break;
    }
  }

  /** All is read. */
  over(): void {
    this.#isOver = true;
    this.#ahead = 0;
  }
}
