import type { Answer } from './connection.ts';

/**
 * The table of what a proxy in front of rspamd says by itself: who is to be asked for a cure is not
 * rspamd then, and what it says of a message has never reached Bayes. Observed on nginx 1.22; the
 * words of Apache and of Go's server (Traefik, Caddy) are those of their sources.
 */
export interface ProxyAnswer {
  /** `misconfigured`: nothing goes through; `held`: not this message; `limited`: not so fast. */
  readonly kind: 'misconfigured' | 'held' | 'limited';
  readonly reason: string;
  readonly hint: string;
}

interface Row {
  readonly kind: ProxyAnswer['kind'];
  readonly status: number;
  /** What its page or reason says, where the status isn't enough. */
  readonly words?: RegExp;
  /** What it does, as a predicate. */
  readonly does: string;
  readonly hint: string;
}

const ASIDE = 'or point RSPAMD_URL at the controller itself';

const ROWS: readonly Row[] = [
  {
    kind: 'misconfigured',
    status: 400,
    words:
      /plain HTTP request was sent to HTTPS port|sent an HTTP request to an HTTPS server|speaking plain HTTP to an SSL-enabled server port/i,
    does: 'speaks TLS on this port, and RSPAMD_URL says http:',
    hint: 'use https: in RSPAMD_URL, and RSPAMD_CA_FILE where this machine does not know who signed its certificate',
  },
  {
    kind: 'misconfigured',
    status: 400,
    words: /No required SSL certificate was sent/i,
    does: 'wants a client certificate',
    hint: `kopano-learnd has none: let this host pass without one (nginx: ssl_verify_client optional or off), ${ASIDE}`,
  },
  {
    kind: 'misconfigured',
    status: 401,
    does: 'wants a login of its own',
    hint: `RSPAMD_PASSWORD is rspamd's and can't help: let this host pass without a login (nginx: satisfy any and allow ADDRESS), ${ASIDE}`,
  },
  {
    kind: 'misconfigured',
    status: 403,
    does: 'refuses this host',
    hint: `RSPAMD_PASSWORD can't help: let this host pass (nginx: allow ADDRESS), with POST to /learnspam and /learnham, ${ASIDE}`,
  },
  {
    kind: 'misconfigured',
    status: 405,
    does: 'takes no learning posts',
    hint: `let POST to /learnspam and /learnham pass, ${ASIDE}`,
  },
  {
    kind: 'held',
    status: 413,
    does: 'lets no message of this size through',
    hint: `allow what LEARN_MAX_BYTES allows (nginx: client_max_body_size 50m, which is 1m unless set), ${ASIDE}`,
  },
  {
    kind: 'limited',
    status: 429,
    does: 'limits the rate',
    hint: `raise that for this host (nginx: limit_req), ${ASIDE}`,
  },
  {
    // What nginx's limit_req says unless limit_req_status is set.
    kind: 'limited',
    status: 503,
    words: /Service Temporarily Unavailable/,
    does: 'limits the rate, or is closed for a while',
    hint: `raise the limit for this host (nginx: limit_req), ${ASIDE}`,
  },
];

/** What a proxy means by an answer; `undefined` when it is rspamd's, or says nothing that is known. */
export function proxyAnswer(answer: Answer): ProxyAnswer | undefined {
  if (isRspamds(answer)) return undefined;
  const says = `${answer.reason}\n${answer.text}`;
  const row = ROWS.find(
    ({ status, words }) => status === answer.status && (words?.test(says) ?? true),
  );
  if (row === undefined) return undefined;
  const { kind, does, hint } = row;
  const status = `${answer.status} ${answer.reason}`.trim();
  return { kind, hint, reason: `a proxy in front of rspamd ${does} (${status})` };
}

/** Reasons that only rspamd gives (4.1), in errors without JSON, too. */
const RSPAMDS = /^(Too many authentication failures|Undefined Error)$/;

/**
 * Whether rspamd itself gave an answer. Its `Server` header says so in all of them (3.4, 3.12.1,
 * 4.1.5), but nginx puts its own in that place. Then the form tells: rspamd's errors are JSON, a
 * proxy's are pages or nothing. Both say 401 and `Unauthorized`.
 */
export function isRspamds({ server = '', reason, text }: Answer): boolean {
  return server.startsWith('rspamd/') || text.startsWith('{"error":"') || RSPAMDS.test(reason);
}
