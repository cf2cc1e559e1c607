import { createHash } from 'node:crypto';
import type { Collection, Message } from './collection.ts';
import { eachOf } from './parallel.ts';
import type { Judged, Work } from './time-order.ts';

/** What the filter of a fold is taught, and what it is asked of then. */
export interface Part {
  readonly taught: readonly Message[];
  readonly asked: readonly Message[];
}

export interface CrossValidation extends Judged {
  /** rspamd couldn't take them in the end. */
  readonly failed: number;
}

/** Requests in flight. More of them make rspamd no faster; fewer leave it waiting for Redis. */
const WIDTH = 16;

/**
 * Every message is judged by a filter that is taught all the others but those of its own fold, and no
 * copy of it. Of several copies the last one is taught: the user's last word counts.
 * @param messages by time
 */
export function partsOf(
  collection: Collection,
  messages: readonly Message[],
  copyKeys: readonly number[],
  { folds, seed }: { readonly folds: number; readonly seed: number },
): readonly Part[] {
  const isSpam = (message = NaN): boolean => collection.verdict(message) === 'spam';
  const keys = messages.map((message) => copyKeys[message] ?? 0);
  const foldOf = dealFolds(keys, (at) => isSpam(messages[at]), folds, seed);
  const lastCopies = new Map<number, number>();
  for (const [at, key] of keys.entries()) lastCopies.set(key, at);
  const isLast = (at: number): boolean => lastCopies.get(keys[at] ?? 0) === at;
  return Array.from({ length: folds }, (_, fold) => ({
    taught: messages.filter((_, at) => foldOf[at] !== fold && isLast(at)),
    asked: messages.filter((_, at) => foldOf[at] === fold),
  }));
}

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

/** How few messages of a class any part teaches. */
export function leastTaught(collection: Collection, parts: readonly Part[]): number {
  const counts = parts.flatMap(({ taught }) => {
    const spam = taught.filter((message) => collection.verdict(message) === 'spam').length;
    return [spam, taught.length - spam];
  });
  return Math.min(...counts);
}

/** @param onPart hears how many posts the next part takes */
export async function crossValidate(
  { collection, laboratory, onMessage, onFailed }: Work,
  parts: readonly Part[],
  onPart: (part: number, posts: number) => void,
): Promise<CrossValidation> {
  const opinions = collection.messages.map(() => NaN);
  for (const [at, { taught, asked }] of parts.entries()) {
    onPart(at + 1, taught.length + asked.length);
    await laboratory.forget();
    await eachOf(taught, WIDTH, async (message) => {
      const lesson = await laboratory.learn(collection.verdict(message), collection.body(message));
      if (lesson.kind === 'failed') onFailed(collection.note(message).place, lesson.reason);
      onMessage();
    });
    await eachOf(asked, WIDTH, async (message) => {
      const judgement = await laboratory.judge(collection.body(message));
      if (judgement.kind === 'opinion') opinions[message] = judgement.probability;
      else onFailed(collection.note(message).place, judgement.reason);
      onMessage();
    });
  }
  const all = parts.flatMap(({ asked }) => asked);
  const messages = all.filter((message) => !Number.isNaN(opinions[message]));
  return {
    messages,
    opinions: messages.map((message) => opinions[message] ?? NaN),
    failed: all.length - messages.length,
  };
}
