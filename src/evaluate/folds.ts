import { createHash } from 'node:crypto';

/**
 * Deals messages to folds, each class by itself, so that a class has as many messages in each fold,
 * give or take one. Copies of a message, which may be of both classes, come to one fold. The split
 * depends on what the messages are and on the seed, and on nothing else: neither on where they lie nor
 * on the order in which a folder lists them.
 * @param keys tell each message from others; copies have the same
 * @returns the fold of each message, from 0
 */
export function dealFolds(
  keys: readonly number[],
  isSpam: (at: number) => boolean,
  folds: number,
  seed: number,
): readonly number[] {
  const places = keys.map((key) => placeOf(key, seed));
  const order = [...keys.keys()].sort((a, b) => (places[a] ?? 0) - (places[b] ?? 0));
  const dealt = { spam: 0, ham: 0 };
  const foldOf = keys.map(() => 0);
  let copies: number[] = [];
  for (const [index, at] of order.entries()) {
    copies.push(at);
    if (keys[at] === keys[order[index + 1] ?? NaN]) continue;
    const verdict = copies.some(isSpam) ? 'spam' : 'ham';
    for (const copy of copies) foldOf[copy] = dealt[verdict] % folds;
    dealt[verdict] += 1;
    copies = [];
  }
  return foldOf;
}

/** Where the seed puts a key: 48 bits of a digest. */
function placeOf(key: number, seed: number): number {
  return createHash('sha256').update(`${seed} ${key}`).digest().readUIntBE(0, 6);
}
