import type { Verdict } from '../../verdict.ts';
import type { Example, Outcome } from '../trainer.ts';

/** A message as it was last taught. */
export interface TaughtMessage {
  readonly verdict: Verdict;
  readonly body: Buffer;
  /** SpamAssassin has this verdict of it: under no other key was the same message taught since. */
  readonly stands: boolean;
  /** Where SpamAssassin may still have to carry something out. */
  readonly unsettled?: {
    /** When it was told: milliseconds since the epoch. */
    readonly since: number;
    /** It was told to forget the message. */
    readonly forgets: boolean;
  };
}

/**
 * What was last taught under a key. SpamAssassin knows a message by its bytes, and kopano-spamd writes
 * a turned message with other ones: only with these can the earlier verdict be taken back.
 *
 * No method throws or rejects: what can't be read is as if it were not there, and what can't be
 * kept stays counted when the verdict turns.
 */
export interface Taught {
  last(key: string): Promise<TaughtMessage | undefined>;
  put(key: string, verdict: Verdict, body: Buffer): Promise<void>;
  /** SpamAssassin is told to forget what is kept of the key. */
  forgetting(key: string): void;
  /** SpamAssassin has carried out all that it was told of what was put last. */
  settle(key: string): void;
}

/** How a filter is taught a message in the place of an earlier one. */
interface Teaching<Failure> {
  /** Has the earlier bytes forgotten. @returns why that failed */
  readonly forget: (body: Buffer) => Promise<Failure | undefined>;
  /** @returns what keeps any other message of the key from being taught now */
  readonly obstacle?: (earlier: TaughtMessage | undefined) => Outcome | undefined;
  readonly teach: (earlier: TaughtMessage | undefined) => Promise<Outcome>;
}

/**
 * Teaches a message, and keeps it as what was last taught under its key. What was taught there with
 * other bytes is forgotten first, with the same verdict as well: the filter would count it twice, and a
 * turn could take back the later one alone. What another user's copy was taught since is that one's.
 */
export async function teachInPlace<Failure extends Outcome>(
  { key, verdict, body }: Example,
  taught: Taught | undefined,
  { forget, obstacle, teach }: Teaching<Failure>,
): Promise<Outcome> {
  const earlier = await taught?.last(key);
  const hasBytes = earlier?.body.equals(body) === true;
  const obstacleToOthers = obstacle?.(earlier);
  if (obstacleToOthers !== undefined) {
    // What it may still learn is this very message: what is noted of it has to stay as it is.
    const isSame = hasBytes && earlier.verdict === verdict && earlier.unsettled?.forgets !== true;
    return isSame ? teach(earlier) : obstacleToOthers;
  }
  // The same bytes the filter unlearns by itself.
  const isOther = earlier?.stands === true && !hasBytes;
  const failure = isOther ? await forget(earlier.body) : undefined;
  if (failure !== undefined) return failure;
  // Before it is asked: it learns what it was given by a process that is killed meanwhile.
  await taught?.put(key, verdict, body);
  const outcome = await teach(earlier);
  // Where it can't learn it can't have forgotten the earlier one either.
  const hasLearned = outcome.kind === 'learned' || outcome.kind === 'duplicate';
  if (earlier?.stands === true && !hasLearned && !isUnanswered(outcome)) {
    await taught?.put(key, earlier.verdict, earlier.body);
  }
  return outcome;
}

/** It may have learned the message, or learn it later. */
export function isUnanswered(outcome: Outcome): boolean {
  return outcome.kind === 'aborted' || (outcome.kind === 'deferred' && !outcome.answered);
}
