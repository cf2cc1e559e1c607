import { request } from 'node:http';
import { codeOf } from '../errors.ts';
import type { ListenAddress } from '../listen-address.ts';

/**
 * Asks the running daemon for one of its pages. `health` loads this and little else, because it is
 * run every few seconds.
 */

/** What came of it. */
export type Reply =
  | { readonly kind: 'answered'; readonly status: number; readonly content: unknown }
  /** Something answers there that isn't the daemon. */
  | { readonly kind: 'foreign' }
  | {
      readonly kind: 'silent';
      readonly reason: string;
      /** Somebody took the connection. */
      readonly isThere: boolean;
    };

const MAX_BYTES = 1024 * 1024;

/**
 * Asks for a page that holds JSON. Never rejects.
 * @param listen where the daemon listens; "any address" is asked on loopback
 */
export function askDaemon(
  listen: ListenAddress,
  path: string,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<Reply> {
  const { port } = listen;
  const host = LOOPBACK[listen.host] ?? listen.host;
  return new Promise((resolve) => {
    let isThere = false;
    const silent = (reason: string): void => {
      resolve({ kind: 'silent', reason, isThere });
      asking.destroy();
    };
    const asking = request({ host, port, path, signal, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
        if (text.length > MAX_BYTES) silent('its answer is too long');
      });
      response.on('end', () => {
        resolve(parse(response.statusCode ?? 0, text));
      });
      response.on('error', (error) => {
        silent(codeOf(error) ?? error.message);
      });
    });
    // Not the socket's own timeout: that starts anew with every byte.
    const timer = setTimeout(() => {
      silent(`no answer within ${timeoutMs / 1000} s`);
    }, timeoutMs);
    asking.once('socket', (socket) => {
      socket.once('connect', () => {
        isThere = true;
      });
    });
    asking.once('close', () => {
      clearTimeout(timer);
    });
    asking.on('error', (error) => {
      const code = codeOf(error) ?? error.message;
      if (code.startsWith('HPE_')) resolve({ kind: 'foreign' });
      else silent(REASONS[code] ?? code);
    });
    asking.end();
  });
}

function parse(status: number, text: string): Reply {
  try {
    return { kind: 'answered', status, content: JSON.parse(text) };
  } catch {
    return { kind: 'foreign' };
  }
}

const LOOPBACK: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nobody listens there',
  ECONNRESET: 'it closed the connection',
};
