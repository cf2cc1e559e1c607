import { beforeField, LF } from './separators.ts';
import type { Dialect, Separator } from './separators.ts';

/**
 * What `doveadm fetch FIELDS QUERY` prints, as a content to be split: for many sites it is the one
 * way to their messages, where Dovecot keeps them compressed, encrypted or in formats of its own.
 *
 *     uid: 7          the other fields that were asked for, in a line each
 *     text:
 *     From: ...       the message as it is
 *     <form feed>     before the next one's fields
 *
 * With `text` alone there is neither a form feed nor, after a message that doesn't end with a line
 * end, a line of its own for the next `text:` (Dovecot 2.3.19).
 */

const FETCHED_FIELD =
  '(?:user|mailbox|mailbox-guid|guid|seq|uid|flags|modseq|storageid|refcount|refcounts|snippet|' +
  '(?:date|size|pop3|imap|hdr|body)\\.[a-z0-9.-]+)';
const LEAD = new RegExp(`^(?:${FETCHED_FIELD}:[^\\n]*\\n)*text(?:\\.utf8)?:\\r?\\n`);
const LONGEST_LEAD = 2_048;
const [SMALL_A, SMALL_Z] = [97, 122];
/** Fields that stand first in messages; not every word before a colon will do in mid-line. */
const FIRST_OF_MESSAGE =
  /^(?:return-path|received|delivered-to|x-original-to|x-[a-z-]+|from|to|message-id|date|subject|mime-version|dkim-signature|authentication-results):/i;

/** The lines before the first message, which begin at `at`; `undefined` when it is something else. */
export function fetchLead(head: Buffer, at: number): string | undefined {
  const first = head[at] ?? 0;
  if (first < SMALL_A || first > SMALL_Z) return undefined;
  return LEAD.exec(head.toString('latin1', at, at + LONGEST_LEAD))?.[0];
}

/** @param lead the lines before the first message */
export function fetchDialect(lead: string): Dialect {
  const firstField = lead.slice(0, lead.indexOf(':') + 1);
  const isAlone = /^text[^\n]*\n$/.test(lead);
  return {
    mark: Buffer.from(isAlone ? firstField : `\f\n${firstField}`),
    isMbox: false,
    judge: isAlone ? judgeText : judgeFields,
  };
}

function judgeFields(content: Buffer, found: number): Separator | undefined {
  const at = found + '\f\n'.length;
  const lead = fetchLead(content, at);
  return lead === undefined
    ? undefined
    : beforeField(content, { start: found, end: at + lead.length });
}

function judgeText(content: Buffer, found: number): Separator | undefined {
  const head = content.toString('latin1', found, found + LONGEST_LEAD);
  const label = /^text(?:\.utf8)?:\r?\n/.exec(head)?.[0];
  if (label === undefined) return undefined;
  const isLine = content[found - 1] === LF;
  if (!isLine && !FIRST_OF_MESSAGE.test(head.slice(label.length))) return undefined;
  return beforeField(content, { start: found, end: found + label.length });
}

const OTHER_FORMS = [
  // without the message's text
  new RegExp(`^(?:${FETCHED_FIELD}:[^\\n]*\\n)*(?:hdr|body):\\r?\\n`),
  // -f flow, tab and json
  /^(?:[a-z][a-z0-9.-]*=\S* )*(?:text(?:\.utf8)?|hdr|body)=/,
  /^(?:[a-z][a-z0-9.-]*\t)*(?:text(?:\.utf8)?|hdr|body)(?:\t[a-z0-9.-]+)*\r?\n(?:[^\n]*\t)?[!-9;-~]+:/,
  /^\[\{(?:"[a-z0-9.-]+":"[^"]*",)*"(?:text(?:\.utf8)?|hdr|body)":"/,
];

/** Whether doveadm has printed it in a way that can't be taken apart. */
export function isOtherFetch(head: string): boolean {
  return /^[a-z[]/.test(head) && OTHER_FORMS.some((form) => form.test(head));
}
