import type { Outcome } from '../trainers/trainer.ts';

/**
 * Proof: rspamd says `200 success` in situations where nothing is stored, so a message is posted
 * again until the same controller answers that it knows it (208). Of 5,987 real messages 5,898
 * needed one more post, 80 two, 6 three, and 3 never got it.
 */

/** Waits before the posts that follow the first one, in milliseconds. */
const PROOF_WAITS_MS = [0, 250, 1_000] as const;

export type ProofResult =
  /**
   * Answered 200, then 208: stored and remembered. `isLate`: not at the first post that followed, so
   * that what was answered 200 shortly before is in doubt.
   */
  | { readonly kind: 'proven'; readonly isLate: boolean }
  /** Answered 208 at once: remembered from before; whether it can store now is not shown. */
  | { readonly kind: 'known' }
  /** Answered 200, and no proof was wanted. */
  | { readonly kind: 'acknowledged' }
  /** Answered 200 to every post. */
  | { readonly kind: 'unproven' }
  /** Some post came to something else, which decides. */
  | {
      readonly kind: 'failed';
      readonly outcome: Exclude<Outcome, { readonly kind: 'learned' | 'duplicate' }>;
    };

/**
 * Posts a message and proves it.
 * @param post posts it once
 * @param pause waits the given milliseconds, less when there is no time left
 * @param acknowledged hears that the first post was answered 200; says whether that has to be proven
 */
export async function learnAndProve(
  post: () => Promise<Outcome>,
  pause: (ms: number) => Promise<void>,
  acknowledged: () => boolean = () => true,
): Promise<ProofResult> {
  const first = await post();
  if (first.kind === 'duplicate') return { kind: 'known' };
  if (first.kind !== 'learned') return { kind: 'failed', outcome: first };
  if (!acknowledged()) return { kind: 'acknowledged' };
  for (const wait of PROOF_WAITS_MS) {
    if (wait > 0) await pause(wait);
    const next = await post();
    if (next.kind === 'duplicate') return { kind: 'proven', isLate: wait > 0 };
    if (next.kind !== 'learned') return { kind: 'failed', outcome: next };
  }
  return { kind: 'unproven' };
}
