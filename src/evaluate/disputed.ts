import { dayOf } from '../spool/archive.ts';
import type { Verdict } from './two-classes.ts';
import type { Collection } from './collection.ts';
import type { Judged } from './time-order.ts';

/**
 * The judgements that the rest of the archive contradicts: Bayes, taught what is neither in the
 * message's fold nor a copy of it, thinks the other class likelier.
 *
 * Of many of them Bayes is equally sure, of honest mail about spam as well. So the order is that of the
 * mean of two likelihoods of the other class: Bayes', and the one that the other messages of the same
 * list or domain give (one of each class more than there are: of an unknown sender it is a half).
 */
export interface Disputed {
  readonly count: number;
  /** As many of each class as its users judged. */
  readonly byVerdict: Readonly<Record<Verdict, number>>;
  /** The mailing lists and domains that they come from, by number. */
  readonly senders: readonly SenderCount[];
  /** How many of the first of those account for half of the messages or more. */
  readonly sendersOfHalf: number;
  readonly differentSenders: number;
  /** The most contradicted ones first, a thousand at most. */
  readonly messages: readonly DisputedMessage[];
}

export interface SenderCount {
  readonly sender: string;
  readonly messages: number;
}

export interface DisputedMessage {
  /** As `relearn` names places: `%XX` for odd bytes, `#N` in an mbox. */
  readonly place: string;
  readonly verdict: Verdict;
  /** How likely Bayes thinks the other class. */
  readonly contradiction: number;
  /** Of how many other messages of its list or domain how many were judged otherwise. */
  readonly senderOthers: number;
  readonly senderOtherwise: number;
  readonly date: string;
  readonly sender: string;
  readonly subject: string;
}

const MESSAGES_KEPT = 1_000;
const SENDERS_KEPT = 20;

/** A contradicted message. */
export interface Contradicted extends Pick<
  DisputedMessage,
  'contradiction' | 'senderOthers' | 'senderOtherwise'
> {
  readonly index: number;
}

/** The contradicted messages, the most contradicted first. */
export function rankDisputed(collection: Collection, judged: Judged): readonly Contradicted[] {
  const record = senderRecord(collection, judged.messages);
  const found: Contradicted[] = [];
  for (const [at, index] of judged.messages.entries()) {
    const probability = judged.opinions[at] ?? 0.5;
    const contradiction = collection.verdict(index) === 'spam' ? 1 - probability : probability;
    if (contradiction > 0.5) found.push({ index, contradiction, ...record(at) });
  }
  const key = ({ index }: Contradicted): number => collection.contentKeys[index] ?? 0;
  return found.sort(
    (a, b) =>
      likelihood(b) - likelihood(a) ||
      b.contradiction - a.contradiction ||
      key(a) - key(b) ||
      a.index - b.index,
  );
}

function likelihood({ contradiction, senderOthers, senderOtherwise }: Contradicted): number {
  return (contradiction + (senderOtherwise + 1) / (senderOthers + 2)) / 2;
}

/** How the other messages of each message's sender were judged, by its place in `messages`. */
function senderRecord(collection: Collection, messages: Uint32Array) {
  const key = (at: number): number => collection.senderKeys[messages[at] ?? 0] ?? 0;
  const isSpam = (at: number): boolean => collection.verdict(messages[at] ?? 0) === 'spam';
  const totals = new Uint32Array(messages.length);
  const spam = new Uint32Array(messages.length);
  const order = Uint32Array.from(messages.keys()).sort((a, b) => key(a) - key(b));
  for (let first = 0; first < order.length;) {
    let last = first;
    let count = 0;
    for (; last < order.length && key(order[last] ?? 0) === key(order[first] ?? 0); last += 1) {
      if (isSpam(order[last] ?? 0)) count += 1;
    }
    for (const at of order.subarray(first, last)) {
      totals[at] = last - first;
      spam[at] = count;
    }
    first = last;
  }
  return (at: number) => {
    if (key(at) === 0) return { senderOthers: 0, senderOtherwise: 0 };
    const [total = 1, ofSpam = 0] = [totals[at], spam[at]];
    return { senderOthers: total - 1, senderOtherwise: isSpam(at) ? total - ofSpam : ofSpam };
  };
}

/** @param ranked of {@link rankDisputed} */
export function describeDisputed(
  collection: Collection,
  ranked: readonly Contradicted[],
): Disputed {
  const bySender = new Map<string, number>();
  const byVerdict = { spam: 0, ham: 0 };
  for (const { index } of ranked) {
    const { sender } = collection.note(index);
    bySender.set(sender, (bySender.get(sender) ?? 0) + 1);
    byVerdict[collection.verdict(index)] += 1;
  }
  const senders = [...bySender]
    .map(([sender, messages]) => ({ sender, messages }))
    .sort((a, b) => b.messages - a.messages || (a.sender < b.sender ? -1 : 1));
  return {
    count: ranked.length,
    byVerdict,
    senders: senders.slice(0, SENDERS_KEPT),
    sendersOfHalf: sendersOfHalf(senders, ranked.length),
    differentSenders: senders.length,
    messages: ranked.slice(0, MESSAGES_KEPT).map(({ index, ...contradicted }) => {
      const { place, sender, subject } = collection.note(index);
      const verdict = collection.verdict(index);
      return {
        place,
        verdict,
        ...contradicted,
        date: dayOf(collection.time(index)),
        sender,
        subject,
      };
    }),
  };
}

function sendersOfHalf(senders: readonly SenderCount[], total: number): number {
  let sum = 0;
  for (const [at, { messages }] of senders.entries()) {
    sum += messages;
    if (2 * sum >= total) return at + 1;
  }
  return 0;
}
