import { MIN_LEARNS } from '../trainers/trainer.ts';

/**
 * A Bayes that says nothing yet, because a class is short of `min_learns`: what that means, and the two
 * ways out of it. kopano-spamd hands over ham only where a message was spam first, so that many sites
 * never get there by their users' judgements.
 */
export interface ColdStart {
  /** A sentence without a full stop. */
  readonly says: string;
  /** Each is a way by itself. */
  readonly cures: readonly string[];
}

interface Learned {
  readonly spam: number | null;
  readonly ham: number | null;
}

/** @returns `undefined` where Bayes judges, or does not say what it knows */
export function coldStart(
  { spam, ham }: Learned,
  minLearns: number = MIN_LEARNS,
): ColdStart | undefined {
  if (spam === null || ham === null || Math.min(spam, ham) >= minLearns) return undefined;
  const short = Object.entries({ spam, ham }).filter(([, count]) => count < minLearns);
  const missing = short.map(([verdict, count]) => `${minLearns - count} ${verdict}`);
  const slow = ham < minLearns ? SLOW_HAM : '';
  return {
    says: `Bayes knows ${spam} spam and ${ham} ham: it gives no opinion before it has learned ${minLearns} of each class (min_learns); ${missing.join(' and ')} are missing${slow}`,
    cures: [
      ...short.map(([verdict]) => TEACH[verdict] ?? ''),
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
