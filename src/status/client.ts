import { get } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { addressText } from '../config.ts';
import type { ListenAddress } from '../config.ts';
import { codeOf } from '../errors.ts';
import type { DaemonReport } from './reports.ts';

/**
 * Asks the running daemon for one of its pages. By node:http, not by got as rspamd is asked:
 * `kopano-learnd health` is run every few seconds, and loading got takes 0.2 s of CPU time, more
 * than the rest of that command (measured on Node.js 20).
 */
export type PageReply =
  | { readonly kind: 'answered'; readonly content: unknown }
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
export async function askDaemon(
  listen: ListenAddress,
  path: string,
  timeoutMs: number,
  stop?: AbortSignal,
): Promise<PageReply> {
  const host = LOOPBACK_OF[listen.host] ?? listen.host;
  const ending = new AbortController();
  let isThere = false;
  let reason: string | undefined;
  const end = (why: string): void => {
    reason ??= why;
    ending.abort();
  };
  // Not the socket's own timeout: that starts anew with every byte.
  const timer = setTimeout(end, timeoutMs, `no answer within ${timeoutMs / 1000} s`);
  const abort = (): void => {
    end('stopped');
  };
  if (stop?.aborted === true) abort();
  stop?.addEventListener('abort', abort, { signal: ending.signal });
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const options = { host, port: listen.port, path, agent: false, signal: ending.signal };
      const request = get(options, resolve).on('error', reject);
      request.once('socket', (socket) => socket.once('connect', () => (isThere = true)));
    });
    let text = '';
    response.setEncoding('utf8');
    for await (const chunk of response) {
      text += String(chunk);
      if (text.length > MAX_BYTES) end('its answer is too long');
    }
    return { kind: 'answered', content: JSON.parse(text) };
  } catch (error) {
    const code = codeOf(error) ?? 'UNKNOWN';
    if (error instanceof SyntaxError || code.startsWith('HPE_')) return { kind: 'foreign' };
    return { kind: 'silent', reason: reason ?? SILENCE_REASONS[code] ?? code, isThere };
  } finally {
    clearTimeout(timer);
    ending.abort();
  }
}

const LOOPBACK_OF: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

const SILENCE_REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nobody listens there',
  ECONNRESET: 'it closed the connection',
};

/** What is known of the daemon at STATUS_LISTEN. Nothing is claimed of one that can't be asked. */
export type DaemonAnswer =
  | { readonly kind: 'running'; readonly report: DaemonReport }
  | {
      /**
       * `none`: no daemon, or nothing that is one; `wedged`: something took the question, and is
       * silent; `off`: it may not be asked.
       */
      readonly kind: 'none' | 'wedged' | 'off';
      readonly reason: string;
    };

const STATUS_TIMEOUT_MS = 5_000;

/** Asks for `/status`. Never rejects. */
export async function askStatus(
  listen: ListenAddress | undefined,
  stop: AbortSignal,
): Promise<DaemonAnswer> {
  if (listen === undefined) return { kind: 'off', reason: 'STATUS_LISTEN is off' };
  const place = addressText(listen);
  const reply = await askDaemon(listen, '/status', STATUS_TIMEOUT_MS, stop);
  if (reply.kind === 'silent') {
    const reason = `none answers at ${place} (${reply.reason})`;
    return { kind: reply.isThere ? 'wedged' : 'none', reason };
  }
  const report = reply.kind === 'answered' ? daemonReportOf(reply.content) : undefined;
  return report === undefined
    ? { kind: 'none', reason: `what answers at ${place} is not kopano-learnd` }
    : { kind: 'running', report };
}

/** Reads what `/status` answered; `undefined` when that isn't a report of this program. */
export function daemonReportOf(content: unknown): DaemonReport | undefined {
  if (typeof content !== 'object' || content === null) return undefined;
  const fields = ['version', 'startedAt', 'spool', 'stateDir', 'role', 'health', 'readiness'];
  const more = ['messages', 'waiting', 'deferred', 'inFlight', 'controllers', 'bugs'];
  if (![...fields, ...more].every((field) => field in content)) return undefined;
  return content as DaemonReport;
}
