/** What a user decided of a message, and the one rule of precedence between two verdicts. */
export type Verdict = 'spam' | 'ham';

export const VERDICTS: readonly Verdict[] = ['spam', 'ham'];

export function otherVerdict(verdict: Verdict): Verdict {
  return verdict === 'spam' ? 'ham' : 'spam';
}

/**
 * Whether a file of `verdict` beats the file of the same name and the other verdict, by their mtimes in
 * nanoseconds: the newer one holds the user's last word, and on a tie ham does. The kernel's clock
 * ticks every few milliseconds, so that ties do happen.
 */
export function takesPrecedence(verdict: Verdict, mtimeNs: bigint, otherMtimeNs: bigint): boolean {
  return verdict === 'ham' ? mtimeNs >= otherMtimeNs : mtimeNs > otherMtimeNs;
}
