import type { Clock } from '../clock.ts';
import { FILTER_TITLES } from '../filter.ts';
import type { Filter } from '../filter.ts';
import { LogThrottle } from '../logger.ts';
import type { Log, LogFields } from '../logger.ts';
import { plural } from '../text.ts';
import { ofClass, perClass } from '../verdict.ts';
import type { PerClass, Verdict } from '../verdict.ts';
import type { PendingMessage } from './message.ts';
import { FINAL_RESULTS } from './result.ts';
import type { Disposition, FinalResult, Result } from './result.ts';

/** How many messages ended with which result since the start. */
export type ResultCounts = Record<FinalResult, number>;

/** How a message ended at a filter. */
export interface Ended {
  readonly verdict: Verdict;
  readonly key: string;
  readonly result: FinalResult;
  /** How long it took to learn and prove it, in milliseconds; `undefined` where it was not proven. */
  readonly provenMs?: number | undefined;
}

/** Hears how each message ended. */
export type EndedListener = (ended: Ended) => void;

interface MessageEventsOptions {
  readonly log: Log;
  readonly clock: Clock;
  readonly filter: Filter;
  /** Other filters are taught as well: lines say which one they are of. */
  readonly isOneOfSeveral?: boolean;
  readonly onEnded?: EndedListener;
  /** All classes. */
  readonly verdicts: readonly Verdict[];
}

/** Logs each message's result at one filter in a line, and counts it. Never subject, addresses or body. */
export class MessageEvents {
  readonly filter: Filter;
  readonly countsOf: PerClass<ResultCounts>;
  /** Messages of which no header field said whose they are. */
  userless = 0;
  readonly #log: Log;
  /** Where a message is that was set aside. */
  readonly #aside: string;
  readonly #throttle: LogThrottle;
  readonly #onEnded: EndedListener;

  constructor(options: MessageEventsOptions) {
    const { log, clock, filter, isOneOfSeveral = false, onEnded, verdicts } = options;
    this.filter = filter;
    this.countsOf = perClass(verdicts, noResults);
    this.#log = isOneOfSeveral
      ? (severity, event, says, fields) => {
          log(severity, event, says, { trainer: filter, ...fields });
        }
      : log;
    const when = isOneOfSeveral ? ' once the other filter has done with it' : '';
    this.#aside = `kopano-learnd quarantine list has it${when}`;
    this.#throttle = new LogThrottle(clock);
    this.#onEnded = onEnded ?? (() => undefined);
  }

  /** Of all classes. */
  get counts(): ResultCounts {
    return sumOf(Object.values(this.countsOf));
  }

  /** A message that was in flight has ended. */
  ended(message: PendingMessage, result: Disposition | Withdrawn, durationMs: number): void {
    const { verdict } = message.entry;
    this.#end(verdict, result, fieldsOf(message, durationMs), durationMs);
  }

  /** @param message what is known of it, where it was in memory */
  superseded(verdict: Verdict, key: string, message?: PendingMessage): void {
    const known = { messageId: message?.identity?.messageId, attempt: message?.tries ?? 0 };
    // It ends without a try.
    this.#end(verdict, { kind: 'superseded' }, { verdict, file: key, ...known, durationMs: 0 });
  }

  /** It stays in the queue and is tried again later; logged once a minute at most. */
  deferred(message: PendingMessage, why: Deferral, durationMs: number): void {
    const { reason, retryMs, cure } = why;
    if (!this.#throttle.allows(message.entry.key, reason)) return;
    const says =
      cure === undefined ? 'not learned yet; it is tried again' : `held back: ${reason}; ${cure}`;
    this.#log('warning', 'message.deferred', says, {
      ...fieldsOf(message, durationMs),
      reason,
      ...(cure === undefined ? {} : { cure }),
      charges: message.failures.charges,
      ...(retryMs === Infinity ? {} : { retrySeconds: Math.round(retryMs / 100) / 10 }),
    });
  }

  /** No header field says whose memory is to learn a message; logged once a minute at most. */
  withoutUser(): void {
    this.userless += 1;
    if (!this.#throttle.allows('LEARN_USER_HEADER')) return;
    const says = `no field of LEARN_USER_HEADER names a user in ${plural(this.userless, 'message')} so far: learned without one`;
    this.#log('notice', 'message.userless', says, { count: this.userless });
  }

  #end(
    verdict: Verdict,
    result: Exclude<Result, { kind: 'deferred' }>,
    fields: FieldsOfMessage,
    durationMs?: number,
  ): void {
    const { kind } = result;
    ofClass(this.countsOf, verdict)[kind] += 1;
    // A message that is let go without a proof wasn't posted in this try.
    const provenMs = kind === 'learned' && result.proven ? durationMs : undefined;
    this.#onEnded({ verdict, key: fields.file, result: kind, provenMs });
    const says =
      kind === 'learned'
        ? `learned as ${verdict}`
        : kind === 'quarantined'
          ? `set aside: ${result.reason}; ${this.#aside}`
          : SAYS[kind].replace('FILTER', FILTER_TITLES[this.filter]);
    this.#log(kind === 'quarantined' ? 'warning' : 'notice', `message.${kind}`, says, {
      ...fields,
      ...('proven' in result ? { proven: result.proven } : {}),
      ...('reason' in result ? { reason: result.reason } : {}),
    });
  }
}

interface Deferral {
  readonly reason: string;
  readonly retryMs: number;
  /** What somebody has to change first. */
  readonly cure?: string;
}

type Withdrawn = Extract<Result, { kind: 'withdrawn' }>;

const SAYS: Readonly<Record<Exclude<FinalResult, 'learned' | 'quarantined'>, string>> = {
  duplicate: 'FILTER knew it already',
  refused: 'FILTER finds nothing to learn in it',
  superseded: 'a newer verdict took its place',
  withdrawn: 'gone from the queue before it was disposed of',
};

/** How messages ended in all. */
export function sumOf(all: readonly ResultCounts[]): ResultCounts {
  return addUp(FINAL_RESULTS, all);
}

/** Adds up the figures of these names. */
export function addUp<Name extends string>(
  names: readonly Name[],
  all: readonly Readonly<Record<Name, number>>[],
): Record<Name, number> {
  const sums = names.map((name) => [name, all.reduce((sum, each) => sum + each[name], 0)] as const);
  return Object.fromEntries(sums) as Record<Name, number>;
}

function noResults(): ResultCounts {
  return { learned: 0, duplicate: 0, refused: 0, quarantined: 0, superseded: 0, withdrawn: 0 };
}

type FieldsOfMessage = LogFields & { readonly file: string };

function fieldsOf({ entry, identity, tries }: PendingMessage, durationMs: number): FieldsOfMessage {
  return {
    verdict: entry.verdict,
    file: entry.key,
    messageId: identity?.messageId,
    attempt: tries,
    durationMs: Math.round(durationMs),
  };
}
