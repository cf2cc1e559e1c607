import { EXIT, OperatorError } from './errors.ts';
import { clean } from './text.ts';

/**
 * STATUS_LISTEN: where the daemon shows its status. A file of its own because `health`, which is
 * run every few seconds, needs this one setting and nothing of what reads the others.
 */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export const DEFAULT_STATUS_LISTEN = '127.0.0.1:11380';

/**
 * Reads a listen address.
 * @returns `undefined` for `off`
 * @throws {Error} saying which form it must have
 */
export function listenAddress(value: string): ListenAddress | undefined {
  if (value === 'off') return undefined;
  const match =
    /^(?:\[(?<v6>[0-9a-fA-F:.]+(?:%[\w.-]+)?)\]|(?<host>[^\s:[\]]+)):(?<port>\d{1,5})$/.exec(value);
  const host = match?.groups?.['v6'] ?? match?.groups?.['host'];
  const port = Number(match?.groups?.['port']);
  if (host !== undefined && port === 0) {
    throw new Error(`must have a port from 1 to 65535, not '${value}'`);
  }
  if (host === undefined || !(port <= 65_535)) {
    throw new Error(`must be HOST:PORT, [IPV6]:PORT or off, not '${value}'`);
  }
  return { host, port };
}

/**
 * Reads STATUS_LISTEN alone.
 * @returns `undefined` when it is off
 * @throws {OperatorError} `config.invalid`, exit 78
 */
export function statusListen(
  environment: Readonly<Record<string, string | undefined>>,
): ListenAddress | undefined {
  try {
    // An empty variable means the same as an unset one.
    return listenAddress(environment['STATUS_LISTEN'] || DEFAULT_STATUS_LISTEN);
  } catch (error) {
    const form = error instanceof Error ? error.message : 'is wrong';
    throw invalidSettings(clean(`STATUS_LISTEN ${form}`, 400));
  }
}

export function invalidSettings(message: string): OperatorError {
  return new OperatorError({
    code: 'config.invalid',
    message,
    hint: 'correct the environment of kopano-learnd; docs/configuration.md lists every variable',
    exitCode: EXIT.configuration,
  });
}

/** How it is written, for people and in URLs. */
export function addressText({ host, port }: ListenAddress): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}
