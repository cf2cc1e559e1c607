import type { Verdict } from '../../verdict.ts';

/** A message as it was last taught. */
export interface TaughtMessage {
  readonly verdict: Verdict;
  readonly body: Buffer;
}

/**
 * What was last taught under a key. SpamAssassin knows a message by its bytes, and kopano-spamd writes
 * a turned message with other ones: only with these can the earlier verdict be taken back.
 *
 * Neither method throws or rejects: what can't be read is as if it were not there, and what can't be
 * kept stays counted when the verdict turns.
 */
export interface Taught {
  last(key: string): Promise<TaughtMessage | undefined>;
  put(key: string, verdict: Verdict, body: Buffer): Promise<void>;
}
