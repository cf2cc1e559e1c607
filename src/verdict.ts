/** What a user decided of a message, and the one rule for two of his verdicts. */
export type Verdict = 'spam' | 'ham';

export const VERDICTS: readonly Verdict[] = ['spam', 'ham'];

export function otherVerdict(verdict: Verdict): Verdict {
  return verdict === 'spam' ? 'ham' : 'spam';
}

/**
 * Which of two files of one name holds the latest verdict, by their mtimes in nanoseconds: the newer
 * one, and on a tie ham. The kernel's clock ticks every few milliseconds, so that ties do happen.
 */
export function newerVerdict(spamMtimeNs: bigint, hamMtimeNs: bigint): Verdict {
  return spamMtimeNs > hamMtimeNs ? 'spam' : 'ham';
}
