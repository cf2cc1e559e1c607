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
/** As much of the mail as is searched. */
const SEARCHED_BYTES = 262_144;

/** A reason without Message-IDs, control characters, or a stretch of the mail. */
export function presentable(reason: string, mail: Uint8Array): string {
  const anonymous = reason.replace(/<[^<>]*>/g, '<id>').slice(0, LOOKED_AT);
  return clean(withoutMail(anonymous, mail), LIMIT);
}

function withoutMail(text: string, mail: Uint8Array): string {
  const repeated = repeatedStretches(text, mail);
  let kept = '';
  let repeatsUntil = 0;
  for (let at = 0; at < text.length; at += 1) {
    if (repeated.has(at)) {
      if (at >= repeatsUntil) kept += '[mail]';
      repeatsUntil = at + STRETCH;
    }
    if (at >= repeatsUntil) kept += text.charAt(at);
  }
  return kept;
}

/**
 * Where in `text` stretches begin that the mail holds, too. The mail is gone through once, with a
 * rolling hash (Rabin and Karp): everybody waits meanwhile, and a search for each stretch by itself
 * took 40 to 90 ms.
 */
function repeatedStretches(text: string, mail: Uint8Array): ReadonlySet<number> {
  const repeated = new Set<number>();
  const wanted = beginningsByHash(text);
  const sieve = new Uint8Array(SIEVE);
  for (const hash of wanted.keys()) sieve[hash & (SIEVE - 1)] = 1;
  const end = Math.min(mail.length, SEARCHED_BYTES);
  let hash = 0;
  for (let at = 0; at < end && wanted.size > 0; at += 1) {
    hash = rolled(hash, mail[at] ?? 0, at < STRETCH ? 0 : (mail[at - STRETCH] ?? 0));
    if (sieve[hash & (SIEVE - 1)] === 0) continue;
    const found = (wanted.get(hash) ?? []).filter((each) =>
      isSame(text, each, mail, at - STRETCH + 1),
    );
    for (const each of found) repeated.add(each);
    // Each is searched for once.
    if (found.length > 0) wanted.delete(hash);
  }
  return repeated;
}

/** Most bytes of a mail are told apart from what is wanted by one look into so many bytes. */
const SIEVE = 4_096;

function beginningsByHash(text: string): Map<number, number[]> {
  const beginnings = new Map<number, number[]>();
  let hash = 0;
  for (let at = 0; at < text.length; at += 1) {
    hash = rolled(hash, text.charCodeAt(at), at < STRETCH ? 0 : text.charCodeAt(at - STRETCH));
    if (at < STRETCH - 1) continue;
    const same = beginnings.get(hash) ?? [];
    same.push(at - STRETCH + 1);
    beginnings.set(hash, same);
  }
  return beginnings;
}

const BASE = 0x01_00_01_93;
const LEAVING = Array.from({ length: STRETCH }).reduce<number>(
  (power) => Math.imul(power, BASE),
  1,
);

/** The hash of a stretch that one byte has come to, and another left. */
function rolled(hash: number, coming: number, leaving: number): number {
  return (Math.imul(hash, BASE) + coming - Math.imul(leaving, LEAVING)) | 0;
}

function isSame(text: string, at: number, mail: Uint8Array, begin: number): boolean {
  for (let i = 0; i < STRETCH; i += 1) {
    if (text.charCodeAt(at + i) !== mail[begin + i]) return false;
  }
  return true;
}
