import type { Collection, Message } from './collection.ts';

/**
 * The order of the messages, and which of them are copies: they have another one's Message-ID, or its
 * subject and words. Bayes must not be asked of a message when it has been taught a copy of it. A copy
 * that was judged as the one before it says nothing new; one that was judged otherwise does, and stays.
 */
interface Lots {
  /** The messages that aren't repetitions, by time. */
  readonly order: readonly Message[];
  readonly copyKeys: readonly number[];
  readonly duplicates: number;
}

export function lotsOf(collection: Collection): Lots {
  const copyKeys = copyKeysOf(collection.idKeys, collection.contentKeys);
  const key = (message: Message): number => copyKeys[message] ?? 0;
  const isHam = (message: Message): number => Number(collection.verdict(message) === 'ham');
  const byTime = collection.messages.toSorted(
    // What came at the same time stands in an order that doesn't depend on the folder's; of copies
    // the ham is the last word, as everywhere.
    (a, b) => collection.time(a) - collection.time(b) || key(a) - key(b) || isHam(a) - isHam(b),
  );
  const lastWords = new Map<number, string>();
  const order = byTime.filter((message) => {
    const verdict = collection.verdict(message);
    if (lastWords.get(key(message)) === verdict) return false;
    lastWords.set(key(message), verdict);
    return true;
  });
  return { order, copyKeys, duplicates: byTime.length - order.length };
}

/**
 * For each message a number that its copies have in common, and that depends on their words alone: the
 * least of their content keys, those by way of other copies as well.
 */
export function copyKeysOf(
  idKeys: readonly number[],
  contentKeys: readonly number[],
): readonly number[] {
  /** A lesser content key of copies; none for the least. */
  const lesser = new Map<number, number>();
  const leastOf = (key: number): number => {
    const passed: number[] = [];
    let least = key;
    for (let next = lesser.get(least); next !== undefined; next = lesser.get(least)) {
      passed.push(least);
      least = next;
    }
    // The next one who asks has a short way.
    for (const each of passed) lesser.set(each, least);
    return least;
  };
  const idOf = (message = NaN): number => idKeys[message] ?? 0;
  const byId = [...idKeys.keys()].sort((a, b) => idOf(a) - idOf(b));
  for (const [at, message] of byId.entries()) {
    const before = byId[at - 1] ?? NaN;
    if (idOf(message) === 0 || idOf(message) !== idOf(before)) continue;
    const [one, other] = [leastOf(contentKeys[message] ?? 0), leastOf(contentKeys[before] ?? 0)];
    if (one !== other) lesser.set(Math.max(one, other), Math.min(one, other));
  }
  return contentKeys.map(leastOf);
}
