import { createHash } from 'node:crypto';
import { fieldOf, inPlainText } from '../mail.ts';
import { headerOf } from '../relearn/sources/mail.ts';
import { clean } from '../text.ts';

/**
 * What an evaluation has to know of a message, beside what Bayes says of it. All of it is the
 * sender's word.
 */
export interface MessageFacts {
  /** Milliseconds since the epoch; `undefined` where the header has none that can be true. */
  readonly received: number | undefined;
  readonly date: number | undefined;
  /** Whom it comes from: the mailing list, else the domain of the sender; fit for a terminal. */
  readonly sender: string;
  /** The same number for the same sender; 0 where there is none. */
  readonly senderKey: number;
  /** Fit for a terminal, cut. */
  readonly subject: string;
  /** The same number for the same Message-ID; 0 where there is none. */
  readonly idKey: number;
  /** The same number for the same subject and words, whatever its other headers. */
  readonly contentKey: number;
}

const SUBJECT_LENGTH = 60;
const SENDER_LENGTH = 60;
/** Mail has had dates for longer, but no filter is taught with it. */
const EARLIEST = Date.UTC(1990, 0, 1);
/** Clocks differ. */
const AHEAD_MS = 86_400_000;

/** @param now milliseconds since the epoch: nothing was received after it */
export function factsOf(body: Buffer, now: number): MessageFacts {
  const header = headerOf(body) ?? '';
  const received = fieldOf(header, 'Received');
  const messageId = fieldOf(header, 'Message-ID') ?? '';
  const subject = fieldOf(header, 'Subject') ?? '';
  const sender = senderOf(header);
  return {
    // The time stands behind the last semicolon (RFC 5322, 3.6.7).
    received: timeOf(received?.slice(received.lastIndexOf(';') + 1), now),
    date: timeOf(fieldOf(header, 'Date'), now),
    sender: sender === '' ? 'unknown' : clean(sender, SENDER_LENGTH),
    senderKey: sender === '' ? 0 : keyOf(sender),
    subject: clean(inPlainText(subject), SUBJECT_LENGTH),
    idKey: messageId === '' ? 0 : keyOf(messageId),
    contentKey: keyOf(`${subject}\n${wordsOf(body.subarray(header.length))}`),
  };
}

function timeOf(text: string | undefined, now: number): number | undefined {
  const time = Date.parse(text ?? '');
  return time >= EARLIEST && time <= now + AHEAD_MS ? time : undefined;
}

/** `List-Id` (RFC 2919), else the domain of `From`; empty where there is neither. */
function senderOf(header: string): string {
  const list = fieldOf(header, 'List-Id') ?? '';
  const listId = /<([^<>]+)>\s*$/.exec(list)?.[1] ?? list;
  const from = fieldOf(header, 'From') ?? '';
  const address = /<([^<>]*)>[^<>]*$/.exec(from)?.[1] ?? from.replace(/\([^()]*\)/g, '');
  const domain = /@([^@\s>,;]+)\s*$/.exec(address.trim())?.[1] ?? '';
  return (listId.trim() === '' ? domain : listId).trim().toLowerCase();
}

/**
 * The body without what differs between two copies of a message: line ends, blanks, and the
 * boundaries and part headers, which kopano-spamd makes anew where it has no original.
 */
function wordsOf(body: Buffer): string {
  return body
    .toString('latin1')
    .replace(/^(?:--|content-).*(?:\r?\n[ \t].*)*/gim, '')
    .replace(/\s+/g, ' ')
    .trim();
}

/** 48 bits of a digest: two of a million messages meet by chance once in 500 archives. */
function keyOf(text: string): number {
  return createHash('sha1').update(text, 'latin1').digest().readUIntBE(0, 6);
}
