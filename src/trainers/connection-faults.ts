import type { Fault } from './answer-reader.ts';
import type { Outcome } from './trainer.ts';

/**
 * The table of connections that come to nothing, which log and doctor share: by the error's code
 * (the system's, Node's, OpenSSL's) what is wrong, what that means for a message, and the cure.
 */
export interface ConnectionFault {
  readonly codes: RegExp;
  readonly means: 'refused' | 'unreachable' | 'misconfigured' | 'unknown';
  /** A predicate, after the name of who was asked. */
  readonly says: string;
  readonly cure: string;
}

/** What differs between those who are asked. */
interface ConnectionCures {
  /** The setting that names the address. */
  readonly url: string;
  /** The setting that names the authority. */
  readonly ca: string;
  readonly refused: string;
  /** What gives the right to write to its socket. */
  readonly socket: string;
  readonly noTls: string;
}

/** The rows that anybody who is asked has. */
export function connectionFaults(cures: ConnectionCures): readonly ConnectionFault[] {
  return [
    {
      codes: /^(ENOTFOUND|EAI_\w+)$/,
      means: 'unreachable',
      says: 'its host name is not found',
      cure: `correct the host in ${cures.url}, or the DNS of this machine (/etc/resolv.conf, /etc/hosts); in containers: put both on one network`,
    },
    {
      codes: /^(ECONNREFUSED|ENOENT|ENOTDIR)$/,
      means: 'refused',
      says: 'connection refused: nobody listens there',
      cure: cures.refused,
    },
    {
      codes: /^(EACCES|EPERM)$/,
      means: 'misconfigured',
      says: 'may not be used',
      cure: `of a socket: let the daemon's user enter the folders above it${cures.socket}; of a host: look at the routes (prohibit), the firewall and what systemd or the container forbids`,
    },
    {
      codes: /^(EHOSTUNREACH|ENETUNREACH|EHOSTDOWN|ENETDOWN|EADDRNOTAVAIL)$/,
      means: 'unreachable',
      says: 'is not reachable',
      cure: 'look at routes and firewalls between here and there',
    },
    {
      codes: /^(EMFILE|ENFILE|ENOBUFS|ENOMEM)$/,
      means: 'unreachable',
      says: 'this machine can make no connection to it',
      cure: "look at this machine's limits of open files and memory",
    },
    {
      codes: /^(ERR_TLS_CERT_ALTNAME_INVALID|HOSTNAME_MISMATCH)$/,
      means: 'misconfigured',
      says: 'its certificate is for another name',
      cure: `use a name in ${cures.url} that the certificate has, or make a certificate for this one`,
    },
    {
      codes: /^CERT_(HAS_EXPIRED|NOT_YET_VALID)$/,
      means: 'misconfigured',
      says: 'its certificate is out of date',
      cure: 'renew it, and compare the clocks of both machines',
    },
    {
      codes: /^(UNABLE_TO_|DEPTH_ZERO_SELF_SIGNED_CERT$|SELF_SIGNED_CERT_IN_CHAIN$)/,
      means: 'misconfigured',
      says: 'its certificate is not signed by anybody this machine trusts',
      cure: `set ${cures.ca} to the certificate (PEM) of the authority that signed it`,
    },
    {
      codes: /^(EPROTO$|ERR_SSL_|ERR_TLS_|CERT_)/,
      means: 'misconfigured',
      says: 'does not speak TLS as expected',
      cure: `${cures.noTls} must allow TLS 1.2 or later, and want no client certificate`,
    },
  ];
}

const NO_TLS =
  'rspamd itself does not: use http: in RSPAMD_URL, or the port of the TLS proxy in front of it';

const ROWS: readonly ConnectionFault[] = [
  ...connectionFaults({
    url: 'RSPAMD_URL',
    ca: 'RSPAMD_CA_FILE',
    refused:
      "start rspamd, or correct RSPAMD_URL: it is a bind_socket of rspamd's worker-controller.inc, which must not be localhost only where this is another machine or container",
    socket:
      ', and give it write permission on it by what stands behind the path in bind_socket (mode=0660 owner=_rspamd group=GROUP)',
    noTls: `${NO_TLS}, which`,
  }),
  {
    codes: /^ETIMEDOUT$/,
    means: 'unknown',
    says: 'takes the connection or swallows it, and is silent',
    cure: 'restart rspamd if it hangs (a controller that got SIGTERM may); otherwise look at the firewall in between',
  },
  {
    codes: /^(ECONNRESET|EPIPE)$/,
    means: 'unknown',
    says: 'closes the connection without an answer',
    cure: `does this port speak TLS? If so, use https: in RSPAMD_URL; if not, http: (${NO_TLS}); otherwise look at its log`,
  },
];

/** What is wrong by a code, and its cure; `undefined` where nothing is known of it. */
export function connectionFault(code: string): ConnectionFault | undefined {
  const row = ROWS.find(({ codes }) => codes.test(code));
  return row && { ...row, says: `${row.says} (${code})` };
}

/** What it means for a message that its post got no answer. */
export function classifyFault({ code }: Fault): Outcome {
  const { means = 'unknown', says: reason = '', cure: hint = '' } = connectionFault(code) ?? {};
  switch (means) {
    case 'refused':
      return { kind: 'unavailable', reason, contact: 'refused' };
    case 'unreachable':
      return { kind: 'unavailable', reason, contact: 'none' };
    case 'misconfigured':
      return { kind: 'misconfigured', reason, hint, password: false };
    case 'unknown':
      return { kind: 'deferred', reason: `no answer (${code})`, answered: false };
  }
}
