import type { Collection } from './collection.ts';
import { groupCopies } from './duplicates.ts';

/**
 * The order of the messages, and which of them repeat another one. A copy that was judged as the one
 * before it says nothing new; one that was judged otherwise does, and stays.
 */
export interface Lots {
  /** The messages that aren't repetitions, by time. */
  readonly order: Uint32Array;
  /** For each message a number that its copies have in common, and that depends on their words alone. */
  readonly keys: Float64Array;
  readonly duplicates: number;
}

export function lotsOf(collection: Collection): Lots {
  const { contentKeys, idKeys, size } = collection;
  const groups = groupCopies([idKeys, contentKeys]);
  const groupOf = (index: number): number => groups[index] ?? index;
  const least = new Float64Array(size).fill(Infinity);
  for (const [index, key] of contentKeys.entries()) {
    least[groupOf(index)] = Math.min(least[groupOf(index)] ?? Infinity, key);
  }
  const keys = contentKeys.map((_, index) => least[groupOf(index)] ?? 0);
  const key = (index: number): number => keys[index] ?? 0;
  const isHam = (index: number): number => Number(collection.verdict(index) === 'ham');
  const byTime = Uint32Array.from({ length: size }, (_, index) => index).sort(
    // What came at the same time stands in an order that doesn't depend on the folder's; of copies
    // the ham is the last word, as everywhere.
    (a, b) =>
      collection.time(a) - collection.time(b) || key(a) - key(b) || isHam(a) - isHam(b) || a - b,
  );
  const lastWord = new Uint8Array(size);
  const order = byTime.filter((index) => {
    const word = collection.verdict(index) === 'spam' ? 1 : 2;
    if (lastWord[groupOf(index)] === word) return false;
    lastWord[groupOf(index)] = word;
    return true;
  });
  return { order, keys, duplicates: size - order.length };
}
