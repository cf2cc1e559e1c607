import { alternate } from '../relearn/sources/alternate.ts';
import type { Found, Source } from '../relearn/sources/source.ts';
import { dayOf, isArchiveDay } from '../spool/archive.ts';
import type { Collection } from './collection.ts';
import { factsOf } from './facts.ts';
import type { MessageFacts } from './facts.ts';

/** Reads the sources, once, into the collection, and finds out when each message came. */
interface ReadingPlan {
  readonly sources: readonly Source[];
  readonly collection: Collection;
  /** So many messages are taken at most, of both classes by turns. */
  readonly limit: number;
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly stop: AbortSignal;
  /** Hears of each message. */
  readonly onMessage: () => void;
  /** Hears of what can't be read: the first few. */
  readonly onFailed: (place: string, reason: string) => void;
}

/** By what the messages were put in order, with the number of messages. */
export type OrderedBy = Readonly<Record<'archive' | 'received' | 'date' | 'file', number>>;

/** What the sources hold beside messages that are judged. */
export interface Beside {
  notMail: number;
  /** Deleted, or in a folder such as Trash. */
  passedOver: number;
  /** Not to be read. */
  unreadable: number;
  /** A newer file of its name counts instead. */
  older: number;
}

export interface ReadingResult {
  readonly orderedBy: OrderedBy;
  readonly beside: Readonly<Beside>;
}

const FAILED_TOLD = 10;
/** @throws {OperatorError} `evaluate.disk` when the copies don't find room */
export async function readMessages(plan: ReadingPlan): Promise<ReadingResult> {
  const { sources, collection, limit, now, stop, onMessage, onFailed } = plan;
  const orderedBy = { archive: 0, received: 0, date: 0, file: 0 };
  const beside: Beside = { notMail: 0, passedOver: 0, unreadable: 0, older: 0 };
  for await (const { source, found } of alternate(sources)) {
    stop.throwIfAborted();
    if (found.kind === 'message') {
      if (collection.size === limit) break;
      const facts = factsOf(found.body, now);
      const { by, time } = timeOf(found, facts);
      orderedBy[by] += 1;
      const { sender, subject } = facts;
      const isAlone = found.isOneOfSeveral !== true;
      const note = { place: found.place, isAlone, sender, subject };
      const verdict = source.verdict === 'spam' ? 'spam' : 'ham';
      collection.add(verdict, found.body, time, note, facts);
      onMessage();
    } else if (found.kind !== 'doneBefore') {
      beside[found.kind === 'failed' ? 'unreadable' : found.kind] += 1;
      if (found.kind === 'failed' && beside.unreadable <= FAILED_TOLD) {
        onFailed(found.place, found.reason);
      }
    }
  }
  return { orderedBy, beside };
}

/**
 * When a message was judged, as near as can be told: the day of the archive, and within it the mtime;
 * else when it was received, or sent, by its header; else the mtime. A header is the sender's word,
 * but the mtimes of a folder are often those of its copy.
 */
function timeOf(
  { place, mtimeMs }: Pick<Found & { readonly kind: 'message' }, 'place' | 'mtimeMs'>,
  { received, date }: Pick<MessageFacts, 'received' | 'date'>,
): { readonly by: keyof OrderedBy; readonly time: number } {
  const day = place.split('/').at(-2) ?? '';
  const midnight = isArchiveDay(day) ? Date.parse(day) : NaN;
  if (!Number.isNaN(midnight)) {
    const isOfDay = mtimeMs !== undefined && dayOf(mtimeMs) === day;
    return { by: 'archive', time: isOfDay ? mtimeMs : midnight };
  }
  if (received !== undefined) return { by: 'received', time: received };
  if (date !== undefined) return { by: 'date', time: date };
  return { by: 'file', time: mtimeMs ?? 0 };
}
