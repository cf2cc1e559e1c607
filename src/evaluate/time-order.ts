import type { Collection } from './collection.ts';
import type { Laboratory } from './laboratory.ts';
import { eachOf } from './parallel.ts';

/**
 * The messages in the order of time: each is judged first and taught then, as in the life of a filter
 * that learns what its users say. rspamd does both at one post. One at a time: what Bayes says of a
 * message depends on all before it.
 */
export interface TimeOrderPlan {
  readonly collection: Collection;
  readonly laboratory: Laboratory;
  /** The messages, by time. */
  readonly order: Uint32Array;
  readonly onMessage: () => void;
  readonly onFailed: (place: string, reason: string) => void;
}

export interface Judged {
  /** The messages that were judged. */
  readonly messages: Uint32Array;
  /** How likely Bayes thought each of them spam; 0.5 where it said nothing. */
  readonly opinions: Float64Array;
}

export interface TimeOrderResult extends Judged {
  /** rspamd knew their words already. */
  readonly known: number;
  /** Bayes takes nothing from them. */
  readonly short: number;
  /** rspamd can't take them. */
  readonly failed: number;
}

/** So many messages are learned and forgotten first. */
const WARM_UP = 50;
const WARM_UP_WIDTH = 8;

export async function judgeInTimeOrder(plan: TimeOrderPlan): Promise<TimeOrderResult> {
  const { collection, laboratory, order, onMessage, onFailed } = plan;
  await warmUp(plan);
  const messages = new Uint32Array(order.length);
  const opinions = new Float64Array(order.length);
  const counts = { judged: 0, known: 0, short: 0, failed: 0 };
  for (const index of order) {
    const lesson = await laboratory.judgeAndLearn(
      collection.verdict(index),
      collection.body(index),
    );
    if (lesson.kind === 'learned') {
      messages[counts.judged] = index;
      opinions[counts.judged] = lesson.probability;
      counts.judged += 1;
    } else {
      counts[lesson.kind] += 1;
      if (lesson.kind === 'failed') onFailed(collection.note(index).place, lesson.reason);
    }
    onMessage();
  }
  const { judged, ...others } = counts;
  return { messages: messages.slice(0, judged), opinions: opinions.slice(0, judged), ...others };
}

/**
 * Just after its start rspamd forgets a few of the messages that it learned (3.4), or the first one
 * (4.1): what it is to be judged by comes after those.
 */
async function warmUp({ collection, laboratory, order }: TimeOrderPlan): Promise<void> {
  await eachOf(order.subarray(0, WARM_UP), WARM_UP_WIDTH, async (index) => {
    await laboratory.learn(collection.verdict(index), collection.body(index));
  });
  await laboratory.forget();
}
