import type { Secret } from '../secret.ts';
import type { Answer } from './answer-reader.ts';
import type { Outcome, VersionFault } from './trainer.ts';

/**
 * The table of answers, which log and doctor share: what rspamd's controller says, or a proxy in
 * front of it by itself, what that means, and the cure. Seen on rspamd 3.4, 3.12.1 and 4.1 and on
 * nginx 1.22; the words of Apache and of Go's server (Traefik, Caddy) are those of their sources.
 * Only the status and the beginning of the reason count: what follows may repeat the sender's
 * Message-ID, unescaped.
 */
interface Row {
  /**
   * Held against status and reason, as in `404 Not found`, and against the error that the body may
   * hold instead; of a proxy against all of its answer.
   */
  readonly says: RegExp;
  readonly isProxys?: true;
  readonly means: WithoutReason<Outcome>;
  /** What is wrong, where status and reason alone don't tell. */
  readonly reason?: string;
}

type WithoutReason<T> = T extends { readonly reason: string } ? Omit<T, 'reason'> : never;

const ASIDE = 'or point RSPAMD_URL at the controller itself';
export const MAKE_BACKEND =
  'give its classifier "bayes" a backend: a Redis server in local.d/classifier-bayes.conf or redis.conf; then restart rspamd';
/** How errors begin that only a cluster makes. */
const CLUSTER_ERROR = String.raw`(?:MOVED|ASK|CROSSSLOT)\b`;
export const NO_CLUSTER =
  "a Redis cluster can't hold Bayes, which needs all its keys on one server: give rspamd a Redis of its own, with replicas and sentinels if one must not do (docs/scaling.md)";

function misconfigured(hint: string, password = false): Row['means'] {
  return { kind: 'misconfigured', hint, password };
}

function limited(hint: string): Row['means'] {
  return { kind: 'unavailable', contact: 'answered', limit: { retryAfterMs: undefined, hint } };
}

/** The first that fits counts. */
const ROWS: readonly Row[] = [
  {
    isProxys: true,
    says: /^400 [^]*(plain HTTP request was sent to HTTPS port|sent an HTTP request to an HTTPS server|speaking plain HTTP to an SSL-enabled server port)/i,
    reason: 'a proxy in front of rspamd speaks TLS on this port, and RSPAMD_URL says http:',
    means: misconfigured(
      'use https: in RSPAMD_URL, and RSPAMD_CA_FILE where this machine does not know who signed its certificate',
    ),
  },
  {
    isProxys: true,
    says: /^401/,
    reason: 'a proxy in front of rspamd wants a login of its own',
    means: misconfigured(
      `RSPAMD_PASSWORD is rspamd's and can't help: let this host pass without a login (nginx: satisfy any and allow ADDRESS), ${ASIDE}`,
    ),
  },
  {
    isProxys: true,
    says: /^40[35]|^400 [^]*No required SSL certificate was sent/i,
    reason: 'a proxy in front of rspamd does not let this host learn',
    means: misconfigured(
      `RSPAMD_PASSWORD can't help: let this host pass (nginx: allow ADDRESS) without a client certificate (ssl_verify_client), with POST to /learnspam and /learnham, ${ASIDE}`,
    ),
  },
  {
    isProxys: true,
    says: /^413/,
    reason: 'a proxy in front of rspamd lets no message of this size through',
    means: {
      kind: 'held',
      hint: `allow what LEARN_MAX_BYTES allows (nginx: client_max_body_size 50m, which is 1m unless set), ${ASIDE}`,
    },
  },
  {
    isProxys: true,
    // 503 with these words is what nginx's limit_req says unless limit_req_status is set.
    says: /^429|^503 [^]*Service Temporarily Unavailable/,
    reason: 'a proxy in front of rspamd limits the rate, or is closed for a while',
    means: limited(`raise the limit for this host (nginx: limit_req), ${ASIDE}`),
  },
  {
    isProxys: true,
    says: /^504/,
    reason: 'a proxy in front of rspamd waited for its answer in vain',
    // rspamd may still carry out what it was sent.
    means: { kind: 'deferred', answered: false },
  },
  { says: /^204/, means: { kind: 'refused' } },
  {
    says: /^413|^\d+ (Trying to learn an empty message|Empty body is not permitted)/i,
    means: { kind: 'rejected' },
  },
  {
    says: /^40[13]/,
    means: misconfigured(
      "set RSPAMD_PASSWORD or RSPAMD_PASSWORD_FILE to the enable_password of rspamd's local.d/worker-controller.inc (its password where no other is set; not the hash that stands there, but what was hashed), or add this host's address to secure_ip there",
      true,
    ),
  },
  {
    says: /^429/,
    means: misconfigured(
      'too many wrong passwords have locked this address out; correct RSPAMD_PASSWORD, the lock ends by itself',
      true,
    ),
  },
  {
    says: /^404 .*has been already learned as (spam|ham)/,
    reason: 'rspamd has no usable Bayes backend',
    means: misconfigured(MAKE_BACKEND),
  },
  {
    says: /^404 .*(cannot find classifier|no classifiers defined)/,
    means: misconfigured('define the classifier "bayes" in rspamd\'s configuration'),
  },
  {
    says: /^404/,
    means: misconfigured(
      "RSPAMD_URL doesn't lead to rspamd's controller; check host, port and path prefix",
    ),
  },
  {
    says: /^3\d\d/,
    means: misconfigured(
      'RSPAMD_URL leads to a redirect, perhaps to the login of a proxy; it is not followed because the mail and the password would go along: point it at the controller itself',
    ),
  },
  {
    says: /^\d+ invalid command/,
    means: misconfigured(
      "RSPAMD_URL points at rspamd's scan worker; the controller listens on another port (11334 unless set otherwise)",
    ),
  },
  {
    says: new RegExp(String.raw`^\d+ ${CLUSTER_ERROR}`),
    means: misconfigured(NO_CLUSTER),
  },
  {
    // Errors of rspamd's Redis in Redis' own words, or of the connection to it: rspamd 3.4 puts the
    // errno of that where the status belongs. A text that begins with "error" is anybody's.
    says: /^(?:[5-9]\d\d|1\d\d|\d\d?) (?:(?:OOM|READONLY|NOREPLICAS|MISCONF|LOADING|NOAUTH|WRONGPASS|NOPERM|CLUSTERDOWN|MASTERDOWN|TRYAGAIN|BUSY|NOSCRIPT|ERR)\b|Connection refused|Connection reset|Connection timed out|timeout while connecting|No route to host|Network is unreachable|Broken pipe|cannot get learned: |error getting reply from redis)/,
    means: { kind: 'unavailable', contact: 'answered' },
  },
];

/** Whether an error of Redis is one that only a cluster makes. */
export function isOfCluster(error: string): boolean {
  return new RegExp(`^${CLUSTER_ERROR}`).test(error);
}

/** The outcome with the likely cause first, where a password is refused that stands in quotes. */
export function knowingPassword(outcome: Outcome, password: Secret): Outcome {
  const isRefused = outcome.kind === 'misconfigured' && outcome.password;
  if (!isRefused || !password.isInQuotes) return outcome;
  const hint = `leave out the quotes around the password, which are a part of it (no shell takes them away); if they belong there, ${outcome.hint}`;
  return { ...outcome, hint };
}

/** What an answer to a learning post means. The reason is passed on as it came. */
export function classifyAnswer(answer: Answer): Outcome {
  if (answer.status === 200) return { kind: 'learned' };
  if (answer.status === 208) return { kind: 'duplicate' };
  const row = rowOf(answer);
  const said = statusLine(answer);
  if (row === undefined) return { kind: 'deferred', reason: said, answered: true };
  const { means } = row;
  const reason = row.reason === undefined ? said : `${row.reason} (${said})`;
  if (!('limit' in means)) return { ...means, reason };
  return { ...means, reason, limit: { ...means.limit, retryAfterMs: retryAfterMs(answer) } };
}

/** Whether a proxy means something that the table knows. */
export function isProxys(answer: Answer): boolean {
  return rowOf(answer)?.isProxys === true;
}

function rowOf(answer: Answer): Row | undefined {
  const { status, text } = answer;
  const said = statusLine(answer);
  const errors = [said, `${status} ${/"error"\s*:\s*"([^"]*)/.exec(text)?.[1] ?? ''}`];
  const isKnown = isRspamds(answer);
  return ROWS.find(({ says, isProxys = false }) =>
    isProxys ? !isKnown && says.test(`${said}\n${text}`) : errors.some((error) => says.test(error)),
  );
}

export function statusLine({ status, reason }: Answer): string {
  return `${status} ${reason}`.trim();
}

/** Reasons that only rspamd gives (4.1), in errors without JSON, too. */
const RSPAMDS = /^(Too many authentication failures|Undefined Error)$/;

/**
 * Whether rspamd itself gave an answer. Its `Server` header says so in all of them (3.4, 3.12.1,
 * 4.1.5), but nginx puts its own in that place. Then the form tells: rspamd's errors are JSON, a
 * proxy's are pages or nothing. Both say 401 and `Unauthorized`.
 */
function isRspamds({ headers, reason, text }: Answer): boolean {
  const isNamed = String(headers['server']).startsWith('rspamd/');
  return isNamed || text.startsWith('{"error":"') || RSPAMDS.test(reason);
}

/** The date may be anything, and so may the seconds: nobody is believed who says more. */
const LONGEST_WAIT_MS = 300_000;

/** `Retry-After` (RFC 9110): seconds, or a date by the clock of who says it. */
function retryAfterMs({ headers }: Answer): number | undefined {
  const { 'retry-after': after = '', date = '' } = headers;
  const ms = /^\d+$/.test(after) ? Number(after) * 1_000 : Date.parse(after) - Date.parse(date);
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(0, ms), LONGEST_WAIT_MS);
}

/**
 * What is wrong with a version of rspamd: `3.8.1`. 3.8.0 to 3.8.4 keep the class that a message was
 * learned in first (`bayes_cache_learn.lua`): a turned verdict is answered 200 for ever, and each post
 * counts it once more in its new class and takes it once more from the old one (rspamd/rspamd issue
 * 4928; mended in 3.9). 3.8.1 is what Ubuntu 24.04 and 26.04 have.
 */
export function faultOfVersion(version = ''): VersionFault | undefined {
  if (!/^3\.8\.[0-4](?![0-9])/.test(version)) return undefined;
  return {
    does: `rspamd ${version} counts a turned verdict anew at each post and never recognises it, so that it can't be proven`,
    cure: 'update rspamd to 3.9 or later, where this is mended',
  };
}
