import path from 'node:path';

/** Where SpamAssassin is taught: a spamd, or `sa-learn` where there is none. */
export interface SpamdAddress {
  /** As the operator wrote it; names the trainer in logs. */
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** Instead of host and port. */
  readonly socketPath: string | undefined;
  readonly tls: boolean;
  /** The path of `sa-learn`, instead of a spamd. */
  readonly program: string | undefined;
}

const FORM = 'spamd://HOST:783, spamds://HOST:783, unix:/path/to.sock or exec:/usr/bin/sa-learn';
const PORT = 783;

/**
 * Reads SPAMD_URL. The text itself is not repeated in a fault.
 * @throws with the form that is expected
 */
export function spamdAddress(text: string): SpamdAddress {
  const none = { host: '', port: 0, socketPath: undefined, tls: false, program: undefined };
  const [, scheme = '', rest = ''] = /^(unix|exec):(.*)$/.exec(text) ?? [];
  if (scheme !== '') {
    const place = rest.replace(/^\/\/(?=\/)/, '');
    if (!path.isAbsolute(place)) throw new Error(`must be ${FORM}`);
    const name = `${scheme}:${place}`;
    return scheme === 'unix'
      ? { ...none, name, socketPath: place }
      : { ...none, name, program: place };
  }
  const [, protocol, v6, plain, digits] =
    /^(spamds?):\/\/(?:\[([0-9a-fA-F:.]+)\]|([^\s:/?#@[\]]+))(?::(\d{1,5}))?\/?$/.exec(text) ?? [];
  const host = v6 ?? plain;
  const port = Number(digits ?? PORT);
  if (protocol === undefined || host === undefined) throw new Error(`must be ${FORM}`);
  if (port < 1 || port > 65_535) {
    throw new Error(`must be ${FORM}, with a port from 1 to 65535, not ${port}`);
  }
  const shown = v6 === undefined ? host : `[${v6}]`;
  return {
    ...none,
    name: `${protocol}://${shown}:${port}`,
    host,
    port,
    tls: protocol === 'spamds',
  };
}
