import type { Example, Outcome, Trainer } from '../../../src/trainers/trainer.ts';
import { NEVER } from '../../trainers/spamassassin/connect.ts';

/** Has messages learned that wait at the same time. */
export function learnAll(trainer: Trainer, messages: readonly Example[]): Promise<Outcome[]> {
  return Promise.all(messages.map((each) => trainer.learn(each, NEVER)));
}

export function kindsOf(outcomes: readonly Outcome[]): string {
  return outcomes.map(({ kind }) => kind).join(' ');
}
