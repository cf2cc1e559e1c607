/**
 * Gathers the pieces of one message after the other, each up to a limit; of one that passes it only
 * the length is known on. The memory is used again, and given back after a large one.
 */
export class Gathering {
  readonly #maxBytes: number;
  #memory = Buffer.allocUnsafeSlow(USUAL_BYTES);
  #length = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes of the message so far, those that weren't kept included. */
  get length(): number {
    return this.#length;
  }

  get isOver(): boolean {
    return this.#length > this.#maxBytes;
  }

  /** Its beginning, good until more is added. */
  head(bytes: number): Buffer {
    return this.#memory.subarray(0, this.isOver ? 0 : Math.min(bytes, this.#length));
  }

  add(piece: Buffer): void {
    const length = this.#length + piece.length;
    if (length > this.#maxBytes) {
      this.#giveBack();
    } else {
      this.#makeRoom(length);
      piece.copy(this.#memory, this.#length);
    }
    this.#length = length;
  }

  /** The message, from now on the caller's own; the next one begins. */
  take(): Buffer {
    const gathered = this.#memory.subarray(0, this.#length);
    const isLarge = this.#memory.length > LARGE_BYTES;
    this.clear();
    // A large one is handed over with its memory: two of them would be too much.
    return isLarge ? gathered : Buffer.from(gathered);
  }

  clear(): void {
    this.#length = 0;
    this.#giveBack();
  }

  #makeRoom(length: number): void {
    if (length <= this.#memory.length) return;
    const doubled = Math.min(2 * this.#memory.length, this.#maxBytes);
    const larger = Buffer.allocUnsafeSlow(Math.max(length, doubled));
    this.#memory.copy(larger, 0, 0, this.#length);
    this.#memory = larger;
  }

  #giveBack(): void {
    if (this.#memory.length > LARGE_BYTES) this.#memory = Buffer.allocUnsafeSlow(USUAL_BYTES);
  }
}

const USUAL_BYTES = 64 * 1024;
const LARGE_BYTES = 1024 * 1024;
