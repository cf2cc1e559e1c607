import { hash } from 'node:crypto';

/**
 * A set of very many names in little memory: it holds 64 bits of each one's SHA-256. At most 32
 * bytes a name at any moment, the moment of growing included, and 11 to 21 otherwise.
 *
 * It never says no of a name that was added. It may say yes of one that wasn't, once in 2^64 / size
 * lookups: of a million names, two share their bits with a chance of 1 in 37 million. Names can't be
 * taken out.
 */
export class NameSet {
  /** Open addressing, two words a slot, a power of two of slots; both words zero: a free slot. */
  #slots = new Uint32Array(2 * SMALLEST);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Memory that it takes. */
  get bytes(): number {
    return this.#slots.byteLength;
  }

  /** @returns false when the name was there already */
  add(name: string): boolean {
    const [high, low] = bitsOf(name);
    const at = find(this.#slots, high, low);
    if (this.#slots[at] !== 0 || this.#slots[at + 1] !== 0) return false;
    this.#slots[at] = high;
    this.#slots[at + 1] = low;
    this.#size += 1;
    if (this.#size > (this.#slots.length / 2) * FULLEST) this.#grow();
    return true;
  }

  has(name: string): boolean {
    const [high, low] = bitsOf(name);
    const at = find(this.#slots, high, low);
    return this.#slots[at] !== 0 || this.#slots[at + 1] !== 0;
  }

  #grow(): void {
    const larger = new Uint32Array(this.#slots.length * 2);
    for (let at = 0; at < this.#slots.length; at += 2) {
      const high = this.#slots[at] ?? 0;
      const low = this.#slots[at + 1] ?? 0;
      if (high === 0 && low === 0) continue;
      const free = find(larger, high, low);
      larger[free] = high;
      larger[free + 1] = low;
    }
    this.#slots = larger;
  }
}

const SMALLEST = 1_024;
const FULLEST = 0.75;
const HEX = 16;
const WORD_DIGITS = 8;

/** The slot that holds these bits, or the free one where they belong; there is always one. */
function find(slots: Uint32Array, high: number, low: number): number {
  const last = slots.length - 1;
  let at = (low * 2) & last;
  for (;;) {
    const isFree = slots[at] === 0 && slots[at + 1] === 0;
    if (isFree || (slots[at] === high && slots[at + 1] === low)) return at;
    at = (at + 2) & last;
  }
}

function bitsOf(name: string): [number, number] {
  const digest = hash('sha256', name);
  const high = Number.parseInt(digest.slice(0, WORD_DIGITS), HEX);
  const low = Number.parseInt(digest.slice(WORD_DIGITS, 2 * WORD_DIGITS), HEX);
  // All zero is the free slot.
  return [high, high === 0 && low === 0 ? 1 : low];
}
