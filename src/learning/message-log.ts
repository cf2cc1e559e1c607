import type { Clock } from '../clock.ts';
import { LogThrottle } from '../logger.ts';
import type { Log, LogFields } from '../logger.ts';
import type { Verdict } from '../verdict.ts';
import type { Held } from '../trainers/trainer.ts';
import type { Delivery, Finish } from './delivery.ts';

/** How a message can end. */
export const ENDINGS = [
  'learned',
  'duplicate',
  'refused',
  'quarantined',
  'superseded',
  'withdrawn',
] as const;

export type Ending = (typeof ENDINGS)[number];

/** How messages ended since the start, each counted once. */
export type Tally = Record<Ending, number>;

/** Hears how long it took to learn and prove a message, in milliseconds. */
export type LearnedListener = (verdict: Verdict, durationMs: number) => void;

/** Tells each message's fate in one line, and counts it. Never subject, addresses or body. */
export class MessageLog {
  readonly tally: Tally = emptyTally();
  readonly tallyOf: Readonly<Record<Verdict, Tally>> = { spam: emptyTally(), ham: emptyTally() };
  readonly #log: Log;
  readonly #throttle: LogThrottle;
  readonly #onLearned: LearnedListener;

  constructor(log: Log, clock: Clock, onLearned: LearnedListener = () => undefined) {
    this.#log = log;
    this.#throttle = new LogThrottle(clock);
    this.#onLearned = onLearned;
  }

  finished(delivery: Delivery, finish: Finish, durationMs: number): void {
    this.#count(delivery.entry.verdict, finish.kind);
    const fields = fieldsOf(delivery, durationMs);
    switch (finish.kind) {
      case 'learned':
        // What was let go without a proof wasn't posted in this try.
        if (finish.proven) this.#onLearned(delivery.entry.verdict, durationMs);
        this.#log('notice', 'message.learned', `learned as ${delivery.entry.verdict}`, {
          ...fields,
          proven: finish.proven,
          ...(finish.proven ? {} : { reason: finish.reason }),
        });
        break;
      case 'duplicate':
        this.#log('notice', 'message.duplicate', 'rspamd knew it already', fields);
        break;
      case 'refused':
        this.#log('notice', 'message.refused', 'rspamd finds nothing to learn in it', {
          ...fields,
          reason: finish.reason,
        });
        break;
      case 'quarantined':
        this.#log('warning', 'message.quarantined', "rspamd can't take it; it is set aside", {
          ...fields,
          reason: finish.reason,
        });
        break;
    }
  }

  /** It stays in the queue and is tried again later; said once a minute at most. */
  deferred(delivery: Delivery, reason: string, retryMs: number, durationMs: number): void {
    if (!this.#throttle.allows(delivery.entry.key, reason)) return;
    this.#log('warning', 'message.deferred', 'not learned yet; it is tried again', {
      ...fieldsOf(delivery, durationMs),
      reason,
      charges: delivery.charges,
      ...(retryMs === Infinity ? {} : { retrySeconds: Math.round(retryMs / 100) / 10 }),
    });
  }

  /** It stays in the queue until somebody changes something; said once. */
  held(delivery: Delivery, { reason, hint }: Held, retryMs: number, durationMs: number): void {
    this.#log('warning', 'message.deferred', `held back: ${reason}; ${hint}`, {
      ...fieldsOf(delivery, durationMs),
      reason,
      cure: hint,
      charges: delivery.charges,
      retrySeconds: Math.round(retryMs / 100) / 10,
    });
  }

  withdrawn(delivery: Delivery, durationMs: number): void {
    this.#count(delivery.entry.verdict, 'withdrawn');
    const fields = fieldsOf(delivery, durationMs);
    this.#log(
      'notice',
      'message.withdrawn',
      'gone from the queue before it was disposed of',
      fields,
    );
  }

  /** @param delivery what is known of it, where it was in memory */
  superseded(verdict: Verdict, key: string, delivery: Delivery | undefined): void {
    this.#count(verdict, 'superseded');
    this.#log('notice', 'message.superseded', 'a newer verdict took its place', {
      verdict,
      file: key,
      messageId: delivery?.identity?.messageId,
      attempt: delivery?.tries ?? 0,
      durationMs: 0, // it ends without a try
    });
  }

  #count(verdict: Verdict, ending: Ending): void {
    this.tally[ending] += 1;
    this.tallyOf[verdict][ending] += 1;
  }
}

function emptyTally(): Tally {
  return { learned: 0, duplicate: 0, refused: 0, quarantined: 0, superseded: 0, withdrawn: 0 };
}

function fieldsOf(delivery: Delivery, durationMs: number): LogFields {
  const { entry, identity, tries } = delivery;
  return {
    verdict: entry.verdict,
    file: entry.key,
    messageId: identity?.messageId,
    attempt: tries,
    durationMs: Math.round(durationMs),
  };
}
