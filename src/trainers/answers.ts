import { connectionFault } from './connection-faults.ts';
import type { ControllerPlace } from './connection-faults.ts';
import type { Answer, Fault } from './connection.ts';
import { proxyAnswer } from './proxies.ts';
import type { ProxyAnswer } from './proxies.ts';
import type { Outcome } from './trainer.ts';

/**
 * The table of answers: what rspamd's controller says, and what it means. Observed on rspamd 3.4,
 * 3.12.1 and 4.1; what a proxy says by itself is told apart first (`proxies.ts`). An answer is judged
 * by its status and the fixed words of its reason, never by the rest of the text, which repeats the
 * sender's Message-ID unescaped. Reasons are passed on as they came; the trainer makes them fit for a
 * log.
 */

export type Classified =
  | Exclude<Outcome, { readonly kind: 'aborted' }>
  /** A refusal, unless there is no Bayes backend: `/stat` has to tell. */
  | { readonly kind: 'check-backend'; readonly reason: string };

/**
 * How the errors of rspamd's Redis begin: Redis' own words, and those of the connection to it. The
 * sender chose the Message-ID that may follow, so only the beginning counts. A word has to be
 * Redis' own (`ERR`): a text that begins with "error" is anybody's.
 */
const REDIS_ERROR =
  /^(?:(?:OOM|READONLY|NOREPLICAS|MISCONF|LOADING|NOAUTH|WRONGPASS|NOPERM|CLUSTERDOWN|MASTERDOWN|TRYAGAIN|BUSY|NOSCRIPT|ERR)\b|Connection refused|Connection reset|Connection timed out|timeout while connecting|No route to host|Network is unreachable|Broken pipe|cannot get learned: |error getting reply from redis)/;

const LEARNED_BEFORE = /has been already learned as (spam|ham)/;

export function classifyAnswer(answer: Answer): Classified {
  const proxy = proxyAnswer(answer);
  if (proxy !== undefined) return classifyProxy(proxy, answer);
  const { status } = answer;
  const words = `${answer.reason}\n${answer.text}`;
  const errors = [answer.reason, /"error"\s*:\s*"([^"]*)/.exec(answer.text)?.[1] ?? ''];
  const says = (words: RegExp): boolean => errors.some((error) => words.test(error));
  const reason = `${status} ${answer.reason}`.trim();
  switch (status) {
    case 200:
      return { kind: 'learned' };
    case 208:
      return { kind: 'duplicate' };
    case 204:
      return /^all learn conditions denied/.test(answer.reason)
        ? { kind: 'check-backend', reason }
        : { kind: 'refused', reason };
    case 413:
      return { kind: 'rejected', reason };
    case 401:
    case 403:
      return misconfigured(
        reason,
        "set RSPAMD_PASSWORD or RSPAMD_PASSWORD_FILE to the enable_password of rspamd's local.d/worker-controller.inc (its password where no other is set; not the hash that stands there, but what was hashed), or add this host's address to secure_ip there",
        true,
      );
    case 404:
      return notFound(words, reason);
    case 429:
      return misconfigured(
        reason,
        'too many wrong passwords have locked this address out; correct RSPAMD_PASSWORD, the lock ends by itself',
        true,
      );
    default:
      break;
  }
  if (status >= 300 && status < 400) {
    return misconfigured(
      reason,
      'RSPAMD_URL leads to a redirect, perhaps to the login of a proxy; it is not followed because the mail and the password would go along: point it at the controller itself',
    );
  }
  if (says(/^invalid command/)) {
    return misconfigured(
      reason,
      "RSPAMD_URL points at rspamd's scan worker; the controller listens on another port (11334 unless set otherwise)",
    );
  }
  if (says(/^(Trying to learn an empty message|Empty body is not permitted)/i)) {
    return { kind: 'rejected', reason };
  }
  // rspamd 3.4 puts an errno of its Redis connection where the status belongs.
  if ((status >= 500 || status < 200) && says(REDIS_ERROR)) {
    return { kind: 'unavailable', reason, contact: 'answered' };
  }
  return { kind: 'deferred', reason, answered: true };
}

function classifyProxy({ kind, reason, hint }: ProxyAnswer, answer: Answer): Classified {
  switch (kind) {
    case 'misconfigured':
      return misconfigured(reason, hint);
    case 'held':
      return { kind, reason, hint };
    case 'limited': {
      const limit = { retryAfterMs: retryAfterMs(answer), hint };
      return { kind: 'unavailable', reason, contact: 'answered', limit };
    }
  }
}

/** `Retry-After` (RFC 9110): seconds, or a date by the clock of who says it. */
function retryAfterMs({ retryAfter = '', date = '' }: Answer): number | undefined {
  const ms = /^\d+$/.test(retryAfter)
    ? Number(retryAfter) * 1_000
    : Date.parse(retryAfter) - Date.parse(date);
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(0, ms), LONGEST_WAIT_MS);
}

/** Nobody is believed who says more: the date may be anything, and so may the seconds. */
const LONGEST_WAIT_MS = 300_000;

function notFound(words: string, reason: string): Classified {
  if (LEARNED_BEFORE.test(words)) {
    return misconfigured(
      'rspamd has no usable Bayes backend (404 "already learned")',
      'give its classifier "bayes" a backend: a Redis server in local.d/classifier-bayes.conf or redis.conf; then restart rspamd',
    );
  }
  if (/cannot find classifier|no classifiers defined/.test(words)) {
    return misconfigured(reason, 'define the classifier "bayes" in rspamd\'s configuration');
  }
  return misconfigured(
    reason,
    "RSPAMD_URL doesn't lead to rspamd's controller; check host, port and path prefix",
  );
}

function misconfigured(reason: string, hint: string, password = false): Classified {
  return { kind: 'misconfigured', reason, hint, password };
}

const REFUSED = new Set(['ECONNREFUSED', 'ENOENT']);
const UNREACHABLE = new Set([
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EHOSTDOWN',
  'ENETDOWN',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EADDRNOTAVAIL',
]);
const LOCAL = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM']);

/** @param at the controller that was asked */
export function classifyFault(fault: Fault, at: ControllerPlace): Classified {
  const { code } = fault;
  if (REFUSED.has(code)) {
    return { kind: 'unavailable', reason: `connection refused (${code})`, contact: 'refused' };
  }
  if (UNREACHABLE.has(code)) {
    return { kind: 'unavailable', reason: `not reachable (${code})`, contact: 'none' };
  }
  if (LOCAL.has(code)) {
    return { kind: 'unavailable', reason: `no connection can be made (${code})`, contact: 'none' };
  }
  if (code === 'EACCES' || code === 'EPERM' || isTlsCode(code)) {
    const { says, cure } = connectionFault(code, at) ?? {
      says: `TLS fails (${code})`,
      cure: "check RSPAMD_CA_FILE, the certificate's name and dates, and whether the port speaks TLS at all",
    };
    return misconfigured(says, cure);
  }
  // A status that is none, or a Message-ID that breaks the status line: an answer all the same.
  const broken = /^HTTP\/\d\.\d (\d{1,3}) ([^\r\n]*)/.exec(fault.text);
  if (broken !== null) {
    const [, status, reason = ''] = broken;
    // Only rspamd writes such lines, unless what follows names somebody else.
    const [, server = 'rspamd/'] = /\r\nServer: ([^\r\n]*)/i.exec(fault.text) ?? [];
    return classifyAnswer({ status: Number(status), reason, text: '', server });
  }
  // Nothing came back: what rspamd had of the message it may still carry out.
  return { kind: 'deferred', reason: `no answer (${code})`, answered: false };
}

function isTlsCode(code: string): boolean {
  return (
    code.startsWith('ERR_TLS_') ||
    code.startsWith('ERR_SSL_') ||
    code.startsWith('CERT_') ||
    code.startsWith('UNABLE_TO_') ||
    code === 'DEPTH_ZERO_SELF_SIGNED_CERT' ||
    code === 'SELF_SIGNED_CERT_IN_CHAIN' ||
    code === 'EPROTO' ||
    code === 'HOSTNAME_MISMATCH'
  );
}
