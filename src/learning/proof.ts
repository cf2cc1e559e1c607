import type { Outcome } from '../trainers/trainer.ts';
import type { Delivery } from './delivery.ts';

/**
 * Proof: rspamd says `200 success` in situations where nothing is stored, so a message is posted
 * again until the same controller answers that it knows it (208). Of 5,987 real messages 5,898
 * needed one more post, 80 two, 6 three, and 3 never got it.
 *
 * A post may do harm: rspamd 3.8 counts a turned verdict anew each time, and so does a replica that
 * lost its master. So a message is posted at most eight times in its life for the sake of proof. The
 * last two are kept for when another message has shown that the controller stores (again): what was
 * posted in vain during an outage is learned and proven then.
 */
export const MOST_POSTS = 8;
const RESERVED_POSTS = 2;
/** Posts of one round, and waits before those that follow the first one, in milliseconds. */
const ROUND_POSTS = 4;
const PROOF_WAITS_MS = [0, 250, 1_000] as const;
/** Two posts show whether a controller remembers. */
const PROBE_POSTS = 2;
/** Rounds without proof, each followed by another message's proof, after which it is let go. */
const UNPROVEN_ROUNDS = 2;
/**
 * How long a message waits after a round without proof; after the second one `/stat` has the time to
 * show whether it was counted. Then it waits for another message's proof.
 */
const WAITS_MS = [1_000, 300_000] as const;

/** What a message has come to without a proof, as far as the next round depends on it. */
export type ProofState = Pick<
  Delivery,
  'posts' | 'othersProved' | 'isOrdered' | 'letGo' | 'unprovenRounds' | 'unprovenTries'
>;

/** Whether it is known whether its controller remembers what it acknowledges. */
export interface ProofSituation {
  /** The controller has shown that it doesn't. */
  readonly isDoubted: boolean;
  /** rspamd's version never recognises a turned verdict. */
  readonly isFaulty: boolean;
}

/** How many posts the next round may take; 0: the message waits for another one's proof. */
export function postsOfRound(state: ProofState, situation: ProofSituation): number {
  const { posts = 0, othersProved, isOrdered, unprovenTries } = state;
  if (isOrdered) return PROBE_POSTS;
  const left = MOST_POSTS - posts;
  if (othersProved) return Math.min(left, ROUND_POSTS);
  let wanted = unprovenTries > 0 ? 1 : ROUND_POSTS;
  if (situation.isDoubted || situation.isFaulty) wanted = PROBE_POSTS;
  return Math.max(0, Math.min(left - RESERVED_POSTS, wanted));
}

/** How long a message waits after its last round without proof, in milliseconds. */
export function waitAfterRound({ unprovenTries, othersProved }: ProofState): number {
  if (othersProved) return WAITS_MS[0];
  return WAITS_MS[unprovenTries - 1] ?? Infinity;
}

/** Why a message ends without a proof; `undefined` as long as it doesn't. */
export function reasonToLetGo(state: ProofState): string | undefined {
  const { posts = 0, othersProved, letGo, unprovenRounds } = state;
  if (letGo !== undefined) return letGo;
  const isSpent = posts >= MOST_POSTS && othersProved;
  if (unprovenRounds < UNPROVEN_ROUNDS && !isSpent) return undefined;
  return `rspamd answered 200 to each of ${posts} posts, and remembered other messages before and after`;
}

/** `/stat` shows that what it was answered 200 for is counted. */
export const COUNTED =
  'rspamd answers 200 again and again, and /stat shows that it counted each post: it is stored';
/** A bulk run is over, and nothing else is left that could show more. */
export const NOTHING_LEFT =
  'rspamd answered 200 to each post, and no other message is left to compare it with';

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

export interface ProofOptions {
  /** Posts it once. */
  readonly post: () => Promise<Outcome>;
  /** Waits the given milliseconds, less when there is no time left. */
  readonly pause: (ms: number) => Promise<void>;
  /** Posts at most, the first one included. @defaultValue 4 */
  readonly most?: number;
  /**
   * Hears that the first post was answered 200; says whether that has to be proven.
   * @defaultValue always
   */
  readonly acknowledged?: () => boolean;
}

/** Posts a message and proves it. */
export async function learnAndProve(options: ProofOptions): Promise<ProofResult> {
  const { post, pause, most = ROUND_POSTS, acknowledged = () => true } = options;
  const first = await post();
  if (first.kind === 'duplicate') return { kind: 'known' };
  if (first.kind !== 'learned') return { kind: 'failed', outcome: first };
  if (!acknowledged()) return { kind: 'acknowledged' };
  for (const wait of PROOF_WAITS_MS.slice(0, most - 1)) {
    if (wait > 0) await pause(wait);
    const next = await post();
    if (next.kind === 'duplicate') return { kind: 'proven', isLate: wait > 0 };
    if (next.kind !== 'learned') return { kind: 'failed', outcome: next };
  }
  return { kind: 'unproven' };
}
