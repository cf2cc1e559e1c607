import { request } from 'node:http';
import type { ListenAddress } from '../listen-address.ts';
import { errnoOf } from '../errors.ts';
import type { Verdict } from '../spool/message.ts';

/**
 * What the running daemon says of itself at STATUS_LISTEN: the doctor teaches nothing, so what only
 * learning shows it can but ask. Read tolerantly: an older or newer daemon may say less.
 */
export type DaemonAnswer =
  | { readonly kind: 'answered'; readonly report: DaemonReport }
  /** No daemon, or nothing that is one. */
  | { readonly kind: 'none'; readonly reason: string }
  /** It may not be asked. */
  | { readonly kind: 'off'; readonly reason: string };

export interface DaemonReport {
  readonly stateDir: string | undefined;
  /** `owner` or `standby`. */
  readonly role: string | undefined;
  readonly controllers: readonly ReportedController[];
}

export interface ReportedController {
  readonly name: string;
  readonly state: string | undefined;
  readonly reason: string | undefined;
  /** Something was posted twice, and remembered, since the daemon's start. */
  readonly isProven: boolean;
  /** Learned messages that were found missing. */
  readonly forgot: number | undefined;
  readonly bayes: Readonly<Record<Verdict, number | undefined>>;
}

const TIMEOUT_MS = 5_000;
const MAX_BYTES = 1_048_576;
const LOOPBACK: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

/** Asks it. Never rejects. */
export async function askDaemon(listen: ListenAddress | undefined): Promise<DaemonAnswer> {
  if (listen === undefined) return { kind: 'off', reason: 'STATUS_LISTEN is off' };
  const where = `${listen.host}:${listen.port}`;
  const text = await fetchText(listen);
  if ('code' in text)
    return { kind: 'none', reason: `no daemon answers at ${where} (${text.code})` };
  const report = parseReport(text.body);
  return report === undefined
    ? { kind: 'none', reason: `what answers at ${where} is not this daemon` }
    : { kind: 'answered', report };
}

function fetchText(
  listen: ListenAddress,
): Promise<{ readonly body: string } | { readonly code: string }> {
  const host = LOOPBACK[listen.host] ?? listen.host;
  return new Promise((resolve) => {
    const asking = request(
      { host, port: listen.port, path: '/status', agent: false },
      (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          body += chunk;
          if (body.length > MAX_BYTES) asking.destroy(new Error('too long'));
        });
        response.on('end', () => {
          resolve({ body });
        });
      },
    );
    const timer = setTimeout(() => asking.destroy(new Error('silent')), TIMEOUT_MS);
    asking.on('error', (error) => {
      resolve({ code: errnoOf(error) ?? error.message });
    });
    asking.on('close', () => {
      clearTimeout(timer);
      resolve({ code: 'closed' });
    });
    asking.end();
  });
}

/** @returns `undefined` when the text is no report */
export function parseReport(text: string): DaemonReport | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isRecord(parsed) || !Array.isArray(parsed['controllers'])) return undefined;
  const controllers = parsed['controllers'] as unknown[];
  return {
    stateDir: wordOf(parsed['stateDir']),
    role: wordOf(parsed['role']),
    controllers: controllers.filter(isRecord).flatMap((fields) => {
      const name = wordOf(fields['name']);
      if (name === undefined) return [];
      const { bayes, forgot } = fields;
      return [
        {
          name,
          state: wordOf(fields['state']),
          reason: wordOf(fields['reason']),
          isProven: fields['proven'] === true,
          forgot: isRecord(forgot) ? numberOf(forgot['missing']) : undefined,
          bayes: {
            spam: isRecord(bayes) ? numberOf(bayes['spam']) : undefined,
            ham: isRecord(bayes) ? numberOf(bayes['ham']) : undefined,
          },
        },
      ];
    }),
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function wordOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined;
}
