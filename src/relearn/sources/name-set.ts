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
  /** Open addressing, a power of two of slots; 0 is a free one. */
  #slots = new BigUint64Array(SMALLEST);
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
    if (!insert(this.#slots, bitsOf(name))) return false;
    this.#size += 1;
    if (this.#size > this.#slots.length * FULLEST) {
      const larger = new BigUint64Array(this.#slots.length * 2);
      for (const bits of this.#slots) if (bits !== 0n) insert(larger, bits);
      this.#slots = larger;
    }
    return true;
  }

  has(name: string): boolean {
    const bits = bitsOf(name);
    return this.#slots[slotOf(this.#slots, bits)] === bits;
  }
}

const SMALLEST = 1_024;
const FULLEST = 0.75;

function insert(slots: BigUint64Array, bits: bigint): boolean {
  const slot = slotOf(slots, bits);
  if (slots[slot] === bits) return false;
  slots[slot] = bits;
  return true;
}

/** The slot that holds these bits, or the free one where they belong; there is always one. */
function slotOf(slots: BigUint64Array, bits: bigint): number {
  const last = slots.length - 1;
  let slot = Number(BigInt.asUintN(32, bits)) & last;
  while (slots[slot] !== 0n && slots[slot] !== bits) slot = (slot + 1) & last;
  return slot;
}

function bitsOf(name: string): bigint {
  const bits = hash('sha256', name, 'buffer').readBigUInt64LE();
  return bits === 0n ? 1n : bits;
}
