import { listed } from '../text.ts';
import { MIN_LEARNS } from '../trainers/trainer.ts';
import type { PerClass, Verdict } from '../verdict.ts';

/**
 * A Bayes that says nothing yet, because a class is short of `min_learns`: what that means, and the two
 * ways out of it. kopano-spamd hands over ham only where a message was spam first, so that many sites
 * never get there by their users' judgements.
 */
interface ColdStart {
  /** A sentence without a full stop. */
  readonly says: string;
  /** Each is a way by itself. */
  readonly cures: readonly string[];
}

/**
 * @param learned by class; what Bayes does not say is no number
 * @returns `undefined` where it judges, or does not say
 */
export function coldStart(
  learned: PerClass<number | null | undefined>,
  minLearns: number = MIN_LEARNS,
): ColdStart | undefined {
  const known = Object.entries(learned).flatMap(([verdict, count]) =>
    typeof count === 'number' ? [{ verdict, count }] : [],
  );
  const short = known.filter(({ count }) => count < minLearns);
  if (short.length === 0 || known.length < 2) return undefined;
  const knows = known.map(({ verdict, count }) => `${count} ${verdict}`);
  const missing = short.map(({ verdict, count }) => `${minLearns - count} ${verdict}`);
  const slow = short.some(({ verdict }) => verdict === 'ham') ? SLOW_HAM : '';
  return {
    says: `Bayes knows ${listed(knows)}: it gives no opinion before it has learned ${minLearns} of each class (min_learns); ${listed(missing)} are missing${slow}`,
    cures: [
      ...short.map(({ verdict }) => TEACH[verdict] ?? teachClass(verdict)),
      'or let rspamd learn by itself what it is sure of: autolearn = true; in its local.d/classifier-bayes.conf, then restart it',
    ],
  };
}

const SLOW_HAM =
  ', and users hardly bring them: kopano-spamd hands over ham only where a message was spam first';

const TEACH: Readonly<Record<string, string>> = {
  spam: 'teach it a Junk folder that you have looked through: kopano-learnd relearn --spam PATH',
  ham: 'teach it a mailbox without spam, such as a Maildir of sent and kept mail: kopano-learnd relearn --ham PATH',
};

function teachClass(verdict: Verdict): string {
  return `teach it messages of that class: kopano-learnd relearn --class ${verdict}=PATH`;
}
