import type { Collection, Message } from './collection.ts';
import type { Laboratory } from './laboratory.ts';
import { eachOf } from './parallel.ts';

/** What messages are judged with, and who hears of it. */
export interface Work {
  readonly collection: Collection;
  readonly laboratory: Laboratory;
  readonly onMessage: () => void;
  readonly onFailed: (place: string, reason: string) => void;
}

/** Messages that were judged. */
export interface Judged {
  readonly messages: readonly Message[];
  /** How likely Bayes thought each of them spam; 0.5 where it said nothing. */
  readonly opinions: readonly number[];
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

/**
 * The messages in the order of time: each is judged first and taught then, as in the life of a filter
 * that learns what its users say. rspamd does both at one post. One at a time: what Bayes says of a
 * message depends on all before it.
 * @param order the messages, by time
 */
export async function judgeInTimeOrder(
  work: Work,
  order: readonly Message[],
): Promise<TimeOrderResult> {
  const { collection, laboratory, onMessage, onFailed } = work;
  await warmUp(work, order);
  const messages: Message[] = [];
  const opinions: number[] = [];
  const others = { known: 0, short: 0, failed: 0 };
  for (const message of order) {
    const lesson = await laboratory.judgeAndLearn(
      collection.verdict(message),
      collection.body(message),
    );
    if (lesson.kind === 'learned') {
      messages.push(message);
      opinions.push(lesson.probability);
    } else {
      others[lesson.kind] += 1;
      if (lesson.kind === 'failed') onFailed(collection.note(message).place, lesson.reason);
    }
    onMessage();
  }
  return { messages, opinions, ...others };
}

/**
 * Just after its start rspamd forgets a few of the messages that it learned (3.4), or the first one
 * (4.1): what it is to be judged by comes after those.
 */
async function warmUp({ collection, laboratory }: Work, order: readonly Message[]): Promise<void> {
  await eachOf(order.slice(0, WARM_UP), WARM_UP_WIDTH, async (message) => {
    await laboratory.learn(collection.verdict(message), collection.body(message));
  });
  await laboratory.forget();
}
