/** The classes that are judged here: Bayes' two symbols. Further ones are neither read nor taught. */
export type Verdict = 'spam' | 'ham';

export const VERDICTS: readonly Verdict[] = ['spam', 'ham'];

export function otherVerdict(verdict: Verdict): Verdict {
  return verdict === 'spam' ? 'ham' : 'spam';
}
