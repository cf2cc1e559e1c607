import { createHash } from 'node:crypto';

/**
 * The split of a cross-validation. It depends on what the messages are and on the seed, and on
 * nothing else: neither on where they lie nor on the order in which a folder lists them.
 */
export interface FoldMembers {
  /** Tells each message from others; duplicates have the same. */
  readonly keys: Float64Array;
  /** 1 for spam, 0 for ham. */
  readonly isSpam: Uint8Array;
}

/**
 * Deals messages to folds, each class by itself, so that a class has as many messages in each fold,
 * give or take one. Messages of one key, which may be of both classes, come to one fold.
 * @returns the fold of each message, from 0
 */
export function dealFolds({ keys, isSpam }: FoldMembers, folds: number, seed: number): Uint16Array {
  const places = keys.map((key) => placeOf(key, seed));
  const keyOf = (index: number): number => keys[index] ?? 0;
  const order = Uint32Array.from(keys.keys()).sort(
    (a, b) => (places[a] ?? 0) - (places[b] ?? 0) || keyOf(a) - keyOf(b),
  );
  const foldOf = new Uint16Array(keys.length);
  const dealt = { spam: 0, ham: 0 };
  for (let first = 0; first < order.length;) {
    let last = first;
    let hasSpam = false;
    for (; last < order.length && keyOf(order[last] ?? 0) === keyOf(order[first] ?? 0); last += 1) {
      hasSpam ||= isSpam[order[last] ?? 0] === 1;
    }
    const verdict = hasSpam ? 'spam' : 'ham';
    for (const index of order.subarray(first, last)) foldOf[index] = dealt[verdict] % folds;
    dealt[verdict] += 1;
    first = last;
  }
  return foldOf;
}

/** Where the seed puts a key: 48 bits of a digest. */
function placeOf(key: number, seed: number): number {
  return createHash('sha256').update(`${seed} ${key}`).digest().readUIntBE(0, 6);
}
