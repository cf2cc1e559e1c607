import type { Inquiry, Reply } from '../trainers/inquiry.ts';
import { failed } from './finding.ts';
import type { Finding } from './finding.ts';

/** Why a controller can't be talked to, by the error's code. */
export function unreachable(
  { name, host }: Inquiry,
  { code = 'UNKNOWN', meaning }: Reply,
): Finding {
  const [says, cure] = explain(code, host, name) ?? [
    `cannot be talked to (${code})`,
    meaning.kind === 'misconfigured'
      ? meaning.hint
      : "is it an HTTP server at all? Correct RSPAMD_URL; look at rspamd's log",
  ];
  return failed(name, says, cure);
}

function isSocket(name: string): boolean {
  return name.startsWith('unix:');
}

function explain(
  code: string,
  host: string,
  name: string,
): readonly [says: string, cure: string] | undefined {
  switch (code) {
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return [
        `the name ${host} is not found (${code})`,
        'correct the host in RSPAMD_URL, or the DNS of this machine (/etc/resolv.conf, /etc/hosts); in containers: put both on one network',
      ];
    case 'ECONNREFUSED':
      if (isSocket(name)) {
        return [`nobody listens on this socket (${code})`, 'start rspamd; its controller makes it'];
      }
      return [
        `nobody listens there (${code})`,
        "start rspamd, or correct host and port in RSPAMD_URL; from another machine or container the controller's bind_socket must not be localhost only",
      ];
    case 'ENOENT':
      return [
        `there is no such socket (${code})`,
        "start rspamd, or correct the path in RSPAMD_URL: it is a bind_socket of rspamd's worker-controller.inc",
      ];
    case 'EACCES':
    case 'EPERM':
      if (!isSocket(name)) {
        return [
          `connecting to ${host} is forbidden here (${code})`,
          'look at the routes (prohibit), the firewall and what systemd or the container forbids',
        ];
      }
      return [
        `its socket may not be used (${code})`,
        'let the daemon’s user enter the folders above it, and give it write permission on it: owner, group and mode stand behind the path in bind_socket (mode=0660 owner=_rspamd group=GROUP)',
      ];
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'EHOSTDOWN':
      return [
        `${host} is not reachable (${code})`,
        'look at routes and firewalls between here and there',
      ];
    case 'ETIMEDOUT':
      return [
        `takes the connection or swallows it, and is silent (${code})`,
        'restart rspamd if it hangs (a controller that got SIGTERM may); otherwise look at the firewall in between',
      ];
    case 'ECONNRESET':
    case 'EPIPE':
      return [
        `closes the connection without an answer (${code})`,
        name.startsWith('https:')
          ? 'does this port speak TLS? rspamd itself does not: use http:, or the port of the TLS proxy in front of it'
          : 'does this port speak TLS? Then use https: in RSPAMD_URL; otherwise look at its log',
      ];
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return [
        `its certificate is for another name than ${host}`,
        'use a name in RSPAMD_URL that the certificate has, or make a certificate for this one',
      ];
    case 'CERT_HAS_EXPIRED':
    case 'CERT_NOT_YET_VALID':
      return [
        `its certificate is out of date (${code})`,
        'renew it, and compare the clocks of both machines',
      ];
    case 'EPROTO':
      return [
        `does not speak TLS (${code})`,
        'rspamd itself does not: use http: in RSPAMD_URL, or the port of the TLS proxy in front of it',
      ];
    default:
      break;
  }
  const isDistrust = /^(UNABLE_TO_|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN)/.test(
    code,
  );
  if (isDistrust) {
    return [
      `its certificate is not signed by anybody this machine trusts (${code})`,
      'set RSPAMD_CA_FILE to the certificate (PEM) of the authority that signed it',
    ];
  }
  if (/CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE/.test(code)) {
    return [
      `refuses the TLS handshake, as who wants a client certificate does (${code})`,
      'kopano-learnd sends none: let the proxy do without for this host',
    ];
  }
  if (/PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL|VERSION_TOO_LOW/.test(code)) {
    return [`speaks TLS of an old version only (${code})`, 'allow TLS 1.2 or later there'];
  }
  return code.startsWith('ERR_SSL_')
    ? [
        `does not speak TLS as expected (${code})`,
        'rspamd itself does not: use http: in RSPAMD_URL, or the port of the TLS proxy in front of it',
      ]
    : undefined;
}
