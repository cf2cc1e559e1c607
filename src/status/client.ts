import { get } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { addressText } from '../config.ts';
import type { ListenAddress } from '../config.ts';
import { codeOf } from '../errors.ts';

/**
 * Asks the running daemon for one of its pages. By node:http, not by got as rspamd is asked:
 * `kopano-learnd health` is run every few seconds, and loading got takes 0.2 s of CPU time, more
 * than the rest of that command (measured on Node.js 20).
 */
export type PageReply<Report> =
  | { readonly kind: 'running'; readonly report: Report }
  | {
      /** `none`: no daemon is there; `wedged`: something is, and is silent. */
      readonly kind: 'none' | 'wedged';
      readonly reason: string;
    };

/**
 * Asks for a page of JSON that tells the daemon's role, as nobody else's does. Never rejects.
 * @param at where the daemon listens; "any address" is asked on loopback
 */
export async function askDaemon<Report extends { readonly role: string }>(
  at: ListenAddress | { readonly socketPath: string },
  path: string,
  timeoutMs: number,
  stop = new AbortController().signal,
): Promise<PageReply<Report>> {
  const place = 'host' in at ? addressText(at) : 'the socket in the state dir';
  const target =
    'host' in at ? { host: LOOPBACK_OF[at.host] ?? at.host, port: at.port } : { ...at };
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const signal = AbortSignal.any([stop, timeout]);
      const options = { ...target, path, agent: false, signal };
      get(options, resolve).on('error', reject);
    });
    const report = JSON.parse(await text(response)) as Report | null;
    if (report?.role === 'owner' || report?.role === 'standby') return { kind: 'running', report };
    return { kind: 'none', reason: `what answers at ${place} is not kopano-learnd` };
  } catch (error) {
    const code = codeOf(error) ?? '';
    if (error instanceof SyntaxError || code.startsWith('HPE_')) {
      return { kind: 'none', reason: `what answers at ${place} is not kopano-learnd` };
    }
    const isLate = timeout.aborted && !stop.aborted;
    const why = isLate ? `no answer within ${timeoutMs / 1000} s` : (SILENCES[code] ?? code);
    return { kind: isLate ? 'wedged' : 'none', reason: `none answers at ${place} (${why})` };
  }
}

const LOOPBACK_OF: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

const SILENCES: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nobody listens there',
  ECONNRESET: 'it closed the connection',
};
