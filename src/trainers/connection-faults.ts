/**
 * The table of connections that come to nothing: by the error's code, what is wrong and its cure.
 * Codes are the system's, Node's and OpenSSL's.
 */
export interface ConnectionFault {
  /** A predicate, after the controller's name. */
  readonly says: string;
  readonly cure: string;
}

interface Row {
  readonly codes: RegExp;
  /** For Unix sockets alone, or for none; `undefined`: for both. */
  readonly socket?: boolean;
  /** HOST stands for the host of the URL. */
  readonly says: string;
  readonly cure: string;
}

const NO_TLS =
  'rspamd itself does not: use http: in RSPAMD_URL, or the port of the TLS proxy in front of it';

const ROWS: readonly Row[] = [
  {
    codes: /^(ENOTFOUND|EAI_AGAIN)$/,
    says: 'the name HOST is not found',
    cure: 'correct the host in RSPAMD_URL, or the DNS of this machine (/etc/resolv.conf, /etc/hosts); in containers: put both on one network',
  },
  {
    codes: /^ECONNREFUSED$/,
    socket: true,
    says: 'nobody listens on this socket',
    cure: 'start rspamd; its controller makes it',
  },
  {
    codes: /^ECONNREFUSED$/,
    says: 'nobody listens there',
    cure: "start rspamd, or correct host and port in RSPAMD_URL; from another machine or container the controller's bind_socket must not be localhost only",
  },
  {
    codes: /^ENOENT$/,
    says: 'there is no such socket',
    cure: "start rspamd, or correct the path in RSPAMD_URL: it is a bind_socket of rspamd's worker-controller.inc",
  },
  {
    codes: /^(EACCES|EPERM)$/,
    socket: true,
    says: 'its socket may not be used',
    cure: "let the daemon's user enter the folders above it, and give it write permission on it: owner, group and mode stand behind the path in bind_socket (mode=0660 owner=_rspamd group=GROUP)",
  },
  {
    codes: /^(EACCES|EPERM)$/,
    says: 'connecting to HOST is forbidden here',
    cure: 'look at the routes (prohibit), the firewall and what systemd or the container forbids',
  },
  {
    codes: /^(EHOSTUNREACH|ENETUNREACH|EHOSTDOWN)$/,
    says: 'HOST is not reachable',
    cure: 'look at routes and firewalls between here and there',
  },
  {
    codes: /^ETIMEDOUT$/,
    says: 'takes the connection or swallows it, and is silent',
    cure: 'restart rspamd if it hangs (a controller that got SIGTERM may); otherwise look at the firewall in between',
  },
  {
    codes: /^(ECONNRESET|EPIPE)$/,
    says: 'closes the connection without an answer',
    cure: `does this port speak TLS? If so, use https: in RSPAMD_URL; if not, http: (${NO_TLS}); otherwise look at its log`,
  },
  {
    codes: /^ERR_TLS_CERT_ALTNAME_INVALID$/,
    says: 'its certificate is for another name than HOST',
    cure: 'use a name in RSPAMD_URL that the certificate has, or make a certificate for this one',
  },
  {
    codes: /^CERT_(HAS_EXPIRED|NOT_YET_VALID)$/,
    says: 'its certificate is out of date',
    cure: 'renew it, and compare the clocks of both machines',
  },
  {
    codes: /^(UNABLE_TO_|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN)/,
    says: 'its certificate is not signed by anybody this machine trusts',
    cure: 'set RSPAMD_CA_FILE to the certificate (PEM) of the authority that signed it',
  },
  {
    codes: /CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE/,
    says: 'refuses the TLS handshake, as who wants a client certificate does',
    cure: 'kopano-learnd sends none: let the proxy do without for this host',
  },
  {
    codes: /PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL|VERSION_TOO_LOW/,
    says: 'speaks TLS of an old version only',
    cure: 'allow TLS 1.2 or later there',
  },
  { codes: /^(EPROTO$|ERR_SSL_)/, says: 'does not speak TLS as expected', cure: NO_TLS },
];

/** Where a controller is. */
export interface ControllerPlace {
  /** Its address without secrets. */
  readonly name: string;
  readonly host: string;
}

/** What a code means at a controller; `undefined` where nothing is known of it. */
export function connectionFault(
  code: string,
  { name, host }: ControllerPlace,
): ConnectionFault | undefined {
  const isSocket = name.startsWith('unix:');
  const row = ROWS.find(({ codes, socket = isSocket }) => codes.test(code) && socket === isSocket);
  return row && { says: `${row.says.replace('HOST', host)} (${code})`, cure: row.cure };
}
