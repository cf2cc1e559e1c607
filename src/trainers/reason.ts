import { Secret } from '../secret.ts';
import { clean } from '../text.ts';

/**
 * What may be logged of a reason phrase. rspamd repeats the sender's Message-ID in it, and a server
 * that isn't rspamd may repeat whatever it was sent.
 */

/** Longest reason in a log line, in characters. */
const LIMIT = 160;
/** As much of a reason as is looked at: some of it is replaced by shorter words. */
const LOOKED_AT = 320;
/** A repetition of so many bytes is no coincidence; "Connection refused" in a bounce is one. */
const STRETCH = 20;
/** Every stretch holds a whole block of this length. */
const BLOCK = STRETCH / 2;
/** As much of the mail as is searched. */
const SEARCHED_BYTES = 262_144;

const NO_MAIL: Buffer = Buffer.alloc(0);

/** What came of a message, or of a question, with a reason that is fit for a log line. */
export function presentableOutcome<Result extends { readonly kind: string }>(
  outcome: Result,
  mail?: Buffer,
  password?: Secret,
): Result {
  if (!('reason' in outcome) || typeof outcome.reason !== 'string') return outcome;
  return { ...outcome, reason: presentable(outcome.reason, mail, password) };
}

/** A reason without the password, Message-IDs, control characters, or a stretch of the mail. */
export function presentable(raw: string, mail = NO_MAIL, password = Secret.none): string {
  const reason = password.redact(raw);
  const anonymous = reason.replace(/<[^<>]*>/g, '<id>').slice(0, LOOKED_AT);
  return clean(withoutMail(anonymous, mail.subarray(0, SEARCHED_BYTES)), LIMIT);
}

/**
 * Searches the mail for each block first: everybody waits meanwhile, and a search for each stretch
 * took 40 to 90 ms.
 */
function withoutMail(text: string, mail: Buffer): string {
  const repeats = (at: number, length: number): boolean =>
    at + length <= text.length && mail.includes(text.slice(at, at + length), 0, 'latin1');
  const blocks = Array.from({ length: text.length / BLOCK }, (_, index) =>
    repeats(index * BLOCK, BLOCK),
  );
  let kept = '';
  let repeatsUntil = 0;
  for (let at = 0; at < text.length; at += 1) {
    if (blocks[Math.ceil(at / BLOCK)] === true && repeats(at, STRETCH)) {
      if (at >= repeatsUntil) kept += '[mail]';
      repeatsUntil = at + STRETCH;
    }
    if (at >= repeatsUntil) kept += text.charAt(at);
  }
  return kept;
}
