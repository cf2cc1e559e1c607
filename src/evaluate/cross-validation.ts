import type { Collection } from './collection.ts';
import { dealFolds } from './folds.ts';
import type { Failed, Laboratory } from './laboratory.ts';
import { eachOf } from './parallel.ts';
import type { Judged } from './time-order.ts';

/**
 * Every message judged by a filter that has been taught all the others but those of its own fold, and
 * no copy of it. Of several copies the last one is taught: the user's last word counts.
 */
export interface CrossValidationPlan {
  readonly collection: Collection;
  readonly laboratory: Laboratory;
  /** The messages to judge, by time. */
  readonly messages: Uint32Array;
  /** For each message of the collection the number that its copies have in common. */
  readonly keys: Float64Array;
  readonly folds: number;
  readonly seed: number;
  /** Hears of each fold, from 1, and how many posts it takes. */
  readonly onFold: (fold: number, posts: number) => void;
  readonly onMessage: () => void;
  readonly onFailed: (place: string, reason: string) => void;
}

export interface CrossValidation extends Judged {
  /** rspamd couldn't take them in the end. */
  readonly failed: number;
}

/** Requests in flight. More of them make rspamd no faster; fewer leave it waiting for Redis. */
const WIDTH = 16;

export async function crossValidate(plan: CrossValidationPlan): Promise<CrossValidation> {
  const { collection, laboratory, messages, folds, onFold, onMessage, onFailed } = plan;
  const split = splitOf(plan);
  const opinions = new Float64Array(collection.size).fill(NaN);
  const fail = (index: number, { reason }: Failed): void => {
    onFailed(collection.note(index).place, reason);
  };
  for (let fold = 0; fold < folds; fold += 1) {
    const { taught, judged } = partsOf(split, messages, fold);
    onFold(fold + 1, taught.length + judged.length);
    await laboratory.forget();
    await eachOf(taught, WIDTH, async (index) => {
      const lesson = await laboratory.learn(collection.verdict(index), collection.body(index));
      if (lesson.kind === 'failed') fail(index, lesson);
      onMessage();
    });
    await eachOf(judged, WIDTH, async (index) => {
      const judgement = await laboratory.judge(collection.body(index));
      if (judgement.kind === 'failed') fail(index, judgement);
      else opinions[index] = judgement.probability;
      onMessage();
    });
  }
  const done = messages.filter((index) => !Number.isNaN(opinions[index]));
  return {
    messages: done,
    opinions: Float64Array.from(done, (index) => opinions[index] ?? NaN),
    failed: messages.length - done.length,
  };
}

/** How few messages of a class a fold's filter is taught, at the least. */
export function leastTaught(plan: CrossValidationPlan): Readonly<Record<'spam' | 'ham', number>> {
  const { collection, messages, folds } = plan;
  const split = splitOf(plan);
  const least = { spam: Infinity, ham: Infinity };
  for (let fold = 0; fold < folds; fold += 1) {
    const taught = { spam: 0, ham: 0 };
    for (const index of partsOf(split, messages, fold).taught) {
      taught[collection.verdict(index)] += 1;
    }
    least.spam = Math.min(least.spam, taught.spam);
    least.ham = Math.min(least.ham, taught.ham);
  }
  return least;
}

/** For each message of the collection its fold, and whether a later copy is taught instead. */
interface Split {
  readonly foldOf: Uint16Array;
  readonly isOutdated: Uint8Array;
}

function splitOf({ collection, messages, keys, folds, seed }: CrossValidationPlan): Split {
  const ownKeys = Float64Array.from(messages, (index) => keys[index] ?? 0);
  const isSpam = Uint8Array.from(messages, (index) => Number(collection.verdict(index) === 'spam'));
  const dealt = dealFolds({ keys: ownKeys, isSpam }, folds, seed);
  const foldOf = new Uint16Array(collection.size);
  const isOutdated = new Uint8Array(collection.size);
  const latest = new Map<number, number>();
  for (const [at, index] of messages.entries()) {
    foldOf[index] = dealt[at] ?? 0;
    const key = ownKeys[at] ?? 0;
    const earlier = latest.get(key);
    if (earlier !== undefined) isOutdated[earlier] = 1;
    latest.set(key, index);
  }
  return { foldOf, isOutdated };
}

function partsOf({ foldOf, isOutdated }: Split, messages: Uint32Array, fold: number) {
  return {
    taught: messages.filter((index) => foldOf[index] !== fold && isOutdated[index] === 0),
    judged: messages.filter((index) => foldOf[index] === fold),
  };
}
