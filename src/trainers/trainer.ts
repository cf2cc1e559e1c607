import type { Filter } from '../filter.ts';
import type { PerClass, Verdict } from '../verdict.ts';

/** A message to learn from. */
export interface Example {
  readonly verdict: Verdict;
  /** The name of its file, by which a later verdict takes this one's place. */
  readonly key: string;
  /** The whole message. */
  readonly body: Buffer;
  /** Whose memory learns it, an address. @defaultValue the filter decides */
  readonly user?: string | undefined;
}

/**
 * A trainer teaches one message to one controller of a spam filter and says what came of it. It
 * doesn't retry, wait or remember; that is the delivery's.
 */
export interface Trainer {
  readonly filter: Filter;
  /** The controller's address without secrets; names it in logs. */
  readonly name: string;
  /** The filter's version, once an answer has shown it: `3.12.1`. */
  readonly version?: string | undefined;
  /** What is known to be wrong with that version. */
  readonly versionFault?: VersionFault | undefined;
  /** What to look at when it acknowledges what it is taught and remembers nothing of it. */
  readonly memoryCure: string;
  /** Posts that it takes at a time. @defaultValue as many as the settings say */
  readonly concurrency?: number | undefined;
  /** How long one post may take, in milliseconds. */
  readonly longestPostMs: number;
  /** It may keep a memory for each user. */
  readonly hasUsers?: boolean;
  /** One call costs it as much as many at the same time: it gets many from the start on. */
  readonly teachesInBatches?: boolean;
  /** What two messages share that are one to it. @defaultValue the Message-ID, or the body */
  readonly identityOf?: (message: Buffer) => string;
  /** Posts the message once. Never rejects: every failure is an outcome. */
  learn(example: Example, signal: AbortSignal): Promise<Outcome>;
  /** What the filter says of itself, where it does; `undefined` when it doesn't answer. */
  statistics?(signal: AbortSignal): Promise<Statistics | undefined>;
  /**
   * The controller's clock, where it tells: milliseconds since the epoch; `undefined` when it doesn't
   * answer.
   */
  time?(signal: AbortSignal): Promise<number | undefined>;
  /**
   * Where there are no statistics: asks, without teaching anything, whether it takes messages.
   * @returns why not
   */
  obstacle?(signal: AbortSignal): Promise<string | undefined>;
}

/** What one post came to. `reason` is cleaned text for a log line, without secrets or mail. */
export type Outcome =
  /** Stored, if the filter is to be believed. */
  | { readonly kind: 'learned' }
  /** Learned in this class before: what proves that it is remembered. */
  | { readonly kind: 'duplicate' }
  /** There is nothing to learn from it. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** The message's own fault, whoever asks. */
  | { readonly kind: 'rejected'; readonly reason: string }
  | Held
  /** A failure that nobody knows the culprit of. */
  | {
      readonly kind: 'deferred';
      readonly reason: string;
      /** False when the connection gave no answer: closed, reset or silent. */
      readonly answered: boolean;
    }
  /** The controller can't learn now, any message. */
  | {
      readonly kind: 'unavailable';
      readonly reason: string;
      /**
       * How it was noticed: `refused` when it takes no connection, so that the process that may
       * have had earlier posts is gone; `silent` when it took the post and may still carry it out;
       * `none` when it can't be reached at all.
       */
      readonly contact: 'answered' | 'refused' | 'silent' | 'none';
      /** What may be done about it, where that is known. */
      readonly hint?: string;
      /** Where it was only asked too fast: milliseconds to wait, if told, and what raises the limit. */
      readonly limit?: { readonly retryAfterMs: number | undefined; readonly hint: string };
    }
  /** It won't learn until somebody changes a setting. */
  | {
      readonly kind: 'misconfigured';
      readonly reason: string;
      readonly hint: string;
      /** Another password may help: read it again. */
      readonly password: boolean;
    }
  /** The post was aborted by us. */
  | { readonly kind: 'aborted' };

/**
 * This message is kept from the controller, and others are not: by a proxy, or because rspamd doesn't
 * know its class. `hint` lets it through.
 */
export interface Held {
  readonly kind: 'held';
  readonly reason: string;
  readonly hint: string;
  /** The controller learns none of this class until somebody changes a setting: told of it once. */
  readonly isOfClass?: true;
  /** All is well, and it is to be posted again after so many milliseconds; told to nobody. */
  readonly waitMs?: number;
}

export interface VersionFault {
  readonly does: string;
  readonly cure: string;
}

/** Messages of each class that rspamd's Bayes wants before it judges, unless it is set otherwise. */
export const MIN_LEARNS = 200;

export interface Statistics {
  /** False when the filter has no Bayes backend at all. */
  readonly hasBackend: boolean;
  /** Learned messages by class; `undefined` where the filter doesn't know at the moment. */
  readonly learned: PerClass<number | undefined>;
  /**
   * Learns that were answered with 200, whoever asked for them, at once and in all workers; kept over
   * restarts (tried on 3.4, 3.12.1 and 4.1.5).
   */
  readonly learns?: number;
  /** How many memories Bayes has learned into; more than one where it keeps one for each user. */
  readonly users?: number;
  /** The classes of Bayes have names (rspamd 4.1), which makes it judge worse. */
  readonly hasNamedClasses?: true;
  /** A fuzzy storage answered it, too. */
  readonly hasFuzzyStorage?: true;
  /** Seconds since the filter started. */
  readonly uptimeSeconds: number | undefined;
  readonly version?: string;
}

/** The classes whose figure the filter says, each with it. */
export function knownOf(learned: Statistics['learned']): Readonly<Record<Verdict, number>> {
  const entries = Object.entries(learned);
  return Object.fromEntries(
    entries.flatMap(([verdict, count]) => (count === undefined ? [] : [[verdict, count]])),
  );
}
