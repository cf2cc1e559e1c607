import { fieldOf } from './mail.ts';

/**
 * Messages of a mail folder that its user doesn't have there any more, or never had: why they are
 * not taught, in plain words.
 */

/** How programs say in an mbox that a message was deleted; its bytes stay until they tidy up. */
const DELETED: readonly (readonly [field: string, isDeleted: (value: string) => boolean])[] = [
  // Thunderbird's nsMsgMessageFlags: Expunged, and IMAPDeleted.
  ['X-Mozilla-Status', (value) => hasBit(value, 0x0008)],
  ['X-Mozilla-Status2', (value) => hasBit(value, 0x0020_0000)],
  // UW IMAP, Alpine, Dovecot and mutt.
  ['X-Status', (value) => value.includes('D')],
  ['Status', (value) => value.includes('D')],
  // Evolution: the number in its folder, and Camel's flags.
  ['X-Evolution', (value) => hasBit(value.split('-')[1] ?? '', 0x0002)],
];

/** What may be there for the table above to find. */
const MARKED = /^(?:x-mozilla-status2?|x-status|status|x-evolution)[ \t]*:/im;

/** What UW IMAP, Pine and early Dovecots keep as the first message of an mbox. */
const PSEUDO_SUBJECT = "DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA";

/** Why what looks like a message is none. */
export function whyNoMessage(header: string): string | undefined {
  if (!header.includes(PSEUDO_SUBJECT)) return undefined;
  if (fieldOf(header, 'Subject') !== PSEUDO_SUBJECT) return undefined;
  const isIts = /^x-imap(?:base)?[ \t]*:/im.test(header) && !/^received[ \t]*:/im.test(header);
  return isIts ? 'internal data of the mail folder' : undefined;
}

/** How a message of an mbox says that it was deleted. */
export function whyDeleted(header: string): string | undefined {
  if (!MARKED.test(header)) return undefined;
  for (const [field, isDeleted] of DELETED) {
    const value = fieldOf(header, field);
    if (value !== undefined && isDeleted(value)) return `deleted (${field})`;
  }
  return undefined;
}

function hasBit(hex: string, bit: number): boolean {
  return /^[0-9a-f]{1,8}$/i.test(hex) && (Number.parseInt(hex, 16) & bit) !== 0;
}
