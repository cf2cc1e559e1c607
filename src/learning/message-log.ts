import type { Clock } from '../clock.ts';
import { LogThrottle } from '../logger.ts';
import type { Log, LogFields } from '../logger.ts';
import type { Verdict } from '../spool/message.ts';
import type { Delivery, Finish } from './delivery.ts';

/** How messages ended since the start, each counted once. */
export type Tally = Record<
  'learned' | 'duplicate' | 'refused' | 'quarantined' | 'superseded' | 'withdrawn',
  number
>;

/** Tells each message's fate in one line, and counts it. Never subject, addresses or body. */
export class MessageLog {
  readonly tally: Tally = {
    learned: 0,
    duplicate: 0,
    refused: 0,
    quarantined: 0,
    superseded: 0,
    withdrawn: 0,
  };
  readonly #log: Log;
  readonly #throttle: LogThrottle;

  constructor(log: Log, clock: Clock) {
    this.#log = log;
    this.#throttle = new LogThrottle(clock);
  }

  finished(delivery: Delivery, finish: Finish, durationMs: number): void {
    this.tally[finish.kind] += 1;
    const fields = fieldsOf(delivery, durationMs);
    switch (finish.kind) {
      case 'learned':
        this.#log('notice', 'message.learned', `learned as ${delivery.entry.verdict}`, {
          ...fields,
          proven: finish.proven,
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
      retrySeconds: Math.round(retryMs / 100) / 10,
    });
  }

  withdrawn(delivery: Delivery): void {
    this.tally.withdrawn += 1;
    this.#log('notice', 'message.withdrawn', 'gone from the queue before it was disposed of', {
      ...fieldsOf(delivery),
    });
  }

  superseded(verdict: Verdict, key: string, messageId: string | undefined): void {
    this.tally.superseded += 1;
    this.#log('notice', 'message.superseded', 'a newer verdict took its place', {
      verdict,
      file: key,
      messageId,
    });
  }
}

function fieldsOf(delivery: Delivery, durationMs?: number): LogFields {
  const { entry, identity, tries } = delivery;
  return {
    verdict: entry.verdict,
    file: entry.key,
    messageId: identity?.messageId,
    attempt: tries,
    durationMs: durationMs === undefined ? undefined : Math.round(durationMs),
  };
}
