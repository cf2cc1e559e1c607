/**
 * Made messages: RFC 5322, natural language, the same bytes for the same verdict and seed.
 *
 * Every message has a Message-ID and a file name of its own and differs from all others in so many
 * words that rspamd never takes one for another; what it has learned it recognises again.
 */
import type { BaseVerdict as Verdict } from '../../src/verdict.ts';
import { createHash } from 'node:crypto';
import { chanceOf } from '../support/seed.ts';
import { HAM_VOCABULARY, SPAM_VOCABULARY, type Vocabulary } from './message-vocabulary.ts';

/** One made message. */
export interface MadeMessage {
  readonly verdict: Verdict;
  /** The file's name, as kopano-spamd makes it from the search key: unique for verdict and seed. */
  readonly name: string;
  /** Without the angle brackets. */
  readonly messageId: string;
  readonly subject: string;
  /** The whole message as it is written and posted. */
  readonly raw: Buffer;
}

interface Draft {
  readonly verdict: Verdict;
  readonly id: string;
  readonly sender: string;
  readonly subject: string;
  readonly paragraphs: readonly string[];
  readonly date: Date;
}

/** A source of numbers in [0, 1) that the seed decides. */
type Random = () => number;

const VOCABULARIES: Readonly<Record<Verdict, Vocabulary>> = {
  spam: SPAM_VOCABULARY,
  ham: HAM_VOCABULARY,
};
const FIRST_DATE = Date.UTC(2024, 0, 8, 8, 0, 0);
const MINUTE_MS = 60_000;
const LINE_LENGTH = 72;

/** The message of a verdict and a whole number: always the same, and another for each number. */
export function makeMessage(verdict: Verdict, seed: number): MadeMessage {
  const chance = chanceOf(digestOf(`${verdict} ${seed}`).readUInt32LE(0));
  const random: Random = () => chance.next();
  const vocabulary = VOCABULARIES[verdict];
  const fill = (template: string): string => fillSlots(template, vocabulary, random);
  const count = 8 + Math.floor(random() * 5);
  const sentences = shuffled(vocabulary.sentences, random).slice(0, count).map(fill);
  const half = Math.ceil(sentences.length / 2);
  return finish({
    verdict,
    id: `${verdict} ${seed}`,
    sender: pick(vocabulary.senders, random),
    subject: sentenceCase(fill(pick(vocabulary.subjects, random))),
    paragraphs: [
      pick(vocabulary.greetings, random),
      sentences.slice(0, half).map(sentenceCase).join(' '),
      sentences.slice(half).map(sentenceCase).join(' '),
      pick(vocabulary.farewells, random),
    ],
    date: new Date(FIRST_DATE + seed * MINUTE_MS),
  });
}

/** The messages of the seeds `firstSeed`, `firstSeed + 1`, ... */
export function makeMessages(
  verdict: Verdict,
  count: number,
  firstSeed = 0,
): readonly MadeMessage[] {
  return Array.from({ length: count }, (_, index) => makeMessage(verdict, firstSeed + index));
}

/** A message with fewer words than Bayes needs: rspamd answers 204 and learns nothing. */
export function tooShortMessage(verdict: Verdict = 'spam', seed = 0): MadeMessage {
  return finish({
    verdict,
    id: `short ${verdict} ${seed}`,
    sender: 'Anna Weber',
    subject: 'Hello',
    paragraphs: ['Thank you'],
    date: new Date(FIRST_DATE + seed * MINUTE_MS),
  });
}

/**
 * The message as kopano-spamd makes it where it has no original: the same words with a boundary that
 * is new each time, so that SpamAssassin takes it for another one.
 */
export function regenerated(message: MadeMessage, time: number): MadeMessage {
  const [head = '', body = ''] = message.raw.toString().split(/\r\n\r\n(.*)/s);
  const headers = head.split('\r\n');
  const isOfPart = (header: string): boolean => /^Content-/.test(header);
  const boundary = `=_${digestOf(`${message.name} ${time}`).toString('hex').slice(0, 24)}`;
  const lines = [
    ...headers.filter((header) => !isOfPart(header)),
    `Content-Type: multipart/mixed; boundary="${boundary}"`,
    '',
    `--${boundary}`,
    ...headers.filter(isOfPart),
    '',
    body,
    `--${boundary}--`,
    '',
  ];
  return { ...message, raw: Buffer.from(lines.join('\r\n')) };
}

/** A hand-written message of a kind that {@link makeMessage} knows, in sentences that it never makes. */
export function unseenMessage(verdict: Verdict): MadeMessage {
  return finish({
    verdict,
    id: `unseen ${verdict}`,
    ...UNSEEN[verdict],
    date: new Date(FIRST_DATE),
  });
}

const UNSEEN = {
  spam: {
    sender: 'Golden Lottery Office',
    subject: 'Urgent: the jackpot is yours',
    paragraphs: [
      'Dear lucky friend,',
      'Congratulations! Your name was selected for the grand jackpot of eighteen million dollars. ' +
        'To collect the prize, send us your bank account number and pay the small processing fee ' +
        'before midnight. As a free gift you receive miracle slimming pills and replica watches ' +
        'at a massive discount, guaranteed or your money back.',
      'Hurry, this exclusive offer ends today!',
    ],
  },
  ham: {
    sender: 'Sophie Brandt',
    subject: 'Agenda for the planning workshop',
    paragraphs: [
      'Good morning colleagues,',
      'here is the agenda for the workshop on Thursday morning. Jonas will report on the database ' +
        'migration, and after lunch we go through the draft contract with the architects. Could ' +
        'Sabine from accounting please bring the figures for the third quarter to the meeting room ' +
        'on the second floor? The train from Leipzig arrives at ten.',
      'Many thanks and kind regards',
    ],
  },
} as const;

function finish(draft: Draft): MadeMessage {
  const { verdict, subject } = draft;
  const digest = digestOf(draft.id).toString('hex');
  const messageId = `${digest.slice(0, 24)}@mail.example`;
  const lines = [
    `From: ${draft.sender} <${mailbox(draft.sender)}>`,
    'To: Kim Berger <kim.berger@office.example>',
    `Subject: ${subject}`,
    `Date: ${draft.date.toUTCString().replace('GMT', '+0000')}`,
    `Message-ID: <${messageId}>`,
    'MIME-Version: 1.0',
    'Content-Type: text/plain; charset=utf-8',
    'Content-Transfer-Encoding: 7bit',
    '',
    ...draft.paragraphs.flatMap((paragraph) => [...wrapped(paragraph), '']),
  ];
  return {
    verdict,
    name: `${digest.slice(0, 32).toUpperCase()}.eml`,
    messageId,
    subject,
    raw: Buffer.from(lines.join('\r\n')),
  };
}

function mailbox(sender: string): string {
  return `${sender.toLowerCase().replaceAll(' ', '.')}@sender.example`;
}

function fillSlots(template: string, vocabulary: Vocabulary, random: Random): string {
  return template.replace(/\{(\w+)\}/g, (_, slot: string) => {
    const words = vocabulary.words[slot];
    if (words === undefined) throw new Error(`no words for {${slot}}`);
    return pick(words, random);
  });
}

function sentenceCase(sentence: string): string {
  return sentence.charAt(0).toUpperCase() + sentence.slice(1);
}

function wrapped(paragraph: string): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of paragraph.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > LINE_LENGTH) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}

function pick(items: readonly string[], random: Random): string {
  const item = items[Math.floor(random() * items.length)];
  if (item === undefined) throw new Error('nothing to pick from');
  return item;
}

function shuffled(items: readonly string[], random: Random): readonly string[] {
  return items
    .map((item) => ({ item, order: random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ item }) => item);
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
