import { clean } from '../text.ts';
import type { Outcome } from './trainer.ts';

/**
 * The table of answers: what rspamd's controller says, and what it means. Observed on rspamd 3.4,
 * 3.12.1 and 4.1. Judged by the status and the fixed words of the reason, never by the rest of the
 * text, which repeats the sender's Message-ID unescaped.
 */

/** An answer with a status line that Node.js understood. */
export interface Answer {
  readonly status: number;
  /** The reason phrase. */
  readonly reason: string;
  /** The body of an answer that is no success, as much as was read. */
  readonly text: string;
  /** The `Date` header. */
  readonly date: string | undefined;
}

/** What came instead of an answer. */
export interface Fault {
  /** The system's, Node's or got's error code. */
  readonly code: string;
  /** What was received, where the parser choked on it. */
  readonly text: string;
}

export type Classified =
  | Exclude<Outcome, { readonly kind: 'aborted' }>
  /** A refusal, unless there is no Bayes backend: `/stat` has to tell. */
  | { readonly kind: 'check-backend'; readonly reason: string };

/**
 * How the errors of rspamd's Redis begin: Redis' own words, and those of the connection to it. The
 * sender chose the Message-ID that may follow, so only the beginning counts.
 */
const REDIS_ERROR =
  /^(OOM|READONLY|NOREPLICAS|MISCONF|LOADING|NOAUTH|WRONGPASS|NOPERM|CLUSTERDOWN|MASTERDOWN|TRYAGAIN|BUSY|NOSCRIPT|ERR|Connection refused|Connection reset|Connection timed out|timeout while connecting|No route to host|Network is unreachable|Broken pipe|cannot get learned: |error getting reply from redis)/i;

const LEARNED_BEFORE = /has been already learned as (spam|ham)/;

export function classifyAnswer(answer: Answer): Classified {
  const { status } = answer;
  const words = `${answer.reason}\n${answer.text}`;
  const errors = `${answer.reason}\n${/"error"\s*:\s*"([^"]*)/.exec(answer.text)?.[1] ?? ''}`;
  const reason = clean(`${status} ${answer.reason}`.trim(), 160);
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
        "set RSPAMD_PASSWORD or RSPAMD_PASSWORD_FILE to the controller's enable_password (its password where no enable_password is set), or add this host to secure_ip",
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
      'RSPAMD_URL leads to a redirect, which is not followed because the mail and the password would go along; point it at the controller itself',
    );
  }
  if (/^invalid command/m.test(errors)) {
    return misconfigured(
      reason,
      "RSPAMD_URL points at rspamd's scan worker; the controller listens on another port (11334 unless set otherwise)",
    );
  }
  if (/^(Trying to learn an empty message|Empty body is not permitted)/im.test(errors)) {
    return { kind: 'rejected', reason };
  }
  if (status >= 500 && errors.split('\n').some((error) => REDIS_ERROR.test(error))) {
    return { kind: 'unavailable', reason, contact: 'answered' };
  }
  return { kind: 'deferred', reason, answered: true };
}

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

export function classifyFault(fault: Fault): Classified {
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
  if (code === 'EACCES' || code === 'EPERM') {
    return misconfigured(
      `the controller's socket can't be opened (${code})`,
      "give the daemon's user write permission on rspamd's controller socket",
    );
  }
  if (isTlsCode(code)) {
    return misconfigured(
      `TLS fails (${code})`,
      "check RSPAMD_CA_FILE, the certificate's name and dates, and whether the port speaks TLS at all",
    );
  }
  // Nothing came back: what rspamd had of the message it may still carry out.
  const broken = /^HTTP\/\d\.\d (\d+) ([^\r\n]*)/.exec(fault.text);
  if (broken?.[1] === '208') return { kind: 'duplicate' };
  if (broken === null) {
    return { kind: 'deferred', reason: `no answer (${clean(code, 60)})`, answered: false };
  }
  // rspamd 3.4 puts an errno of its Redis connection where the status belongs.
  const reason = clean(`${broken[1] ?? ''} ${broken[2] ?? ''}`, 160);
  return REDIS_ERROR.test(broken[2] ?? '')
    ? { kind: 'unavailable', reason, contact: 'answered' }
    : { kind: 'deferred', reason, answered: true };
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
