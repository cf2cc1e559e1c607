import { dayOf } from '../spool/archive.ts';
import type { BaseVerdict } from '../verdict.ts';
import type { Collection, Message } from './collection.ts';
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
  readonly byVerdict: Readonly<Record<BaseVerdict, number>>;
  /** The mailing lists and domains that they come from, by number. */
  readonly senders: readonly SenderCount[];
  /** How many of the first of those account for half of the messages or more. */
  readonly sendersOfHalf: number;
  readonly differentSenders: number;
  /** The most contradicted ones first, a thousand at most. */
  readonly messages: readonly DisputedMessage[];
}

interface SenderCount {
  readonly sender: string;
  readonly messages: number;
}

export interface DisputedMessage {
  /** As `relearn` names places: `%XX` for odd bytes, `#N` in an mbox. */
  readonly place: string;
  readonly verdict: BaseVerdict;
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
  readonly message: Message;
}

/** The contradicted messages, the most contradicted first. */
export function rankDisputed(
  collection: Collection,
  { messages, opinions }: Judged,
): readonly Contradicted[] {
  const bySender = countsOfSenders(collection, messages);
  const found: Contradicted[] = [];
  for (const [at, message] of messages.entries()) {
    const verdict = collection.verdict(message);
    const probability = opinions[at] ?? 0.5;
    const contradiction = verdict === 'spam' ? 1 - probability : probability;
    if (contradiction <= 0.5) continue;
    // Its own judgement is among them.
    const { spam, ham } = bySender.get(collection.senderKey(message)) ?? { spam: 0, ham: 0 };
    const senderOthers = Math.max(0, spam + ham - 1);
    const senderOtherwise = verdict === 'spam' ? ham : spam;
    found.push({ message, contradiction, senderOthers, senderOtherwise });
  }
  const key = ({ message }: Contradicted): number => collection.contentKeys[message] ?? 0;
  return found.sort(
    (a, b) => likelihood(b) - likelihood(a) || b.contradiction - a.contradiction || key(a) - key(b),
  );
}

function likelihood({ contradiction, senderOthers, senderOtherwise }: Contradicted): number {
  return (contradiction + (senderOtherwise + 1) / (senderOthers + 2)) / 2;
}

/** How the messages of each sender were judged, where it is known. */
function countsOfSenders(collection: Collection, messages: readonly Message[]) {
  const bySender = new Map<number, Record<BaseVerdict, number>>();
  for (const message of messages) {
    const sender = collection.senderKey(message);
    if (sender === 0) continue;
    const counts = bySender.get(sender) ?? { spam: 0, ham: 0 };
    counts[collection.verdict(message)] += 1;
    bySender.set(sender, counts);
  }
  return bySender;
}

/** @param ranked of {@link rankDisputed} */
export function describeDisputed(
  collection: Collection,
  ranked: readonly Contradicted[],
): Disputed {
  const bySender = new Map<string, number>();
  const byVerdict = { spam: 0, ham: 0 };
  for (const { message } of ranked) {
    const { sender } = collection.note(message);
    bySender.set(sender, (bySender.get(sender) ?? 0) + 1);
    byVerdict[collection.verdict(message)] += 1;
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
    messages: ranked.slice(0, MESSAGES_KEPT).map(({ message, ...contradicted }) => {
      const { place, sender, subject } = collection.note(message);
      const [verdict, date] = [collection.verdict(message), dayOf(collection.time(message))];
      return { place, verdict, ...contradicted, date, sender, subject };
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
