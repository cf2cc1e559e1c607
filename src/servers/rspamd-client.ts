/**
 * One question to a private rspamd over HTTP, and the answer as it came. Not the daemon's trainer:
 * it judges nothing, retries nothing and only ever speaks to loopback.
 */
import { request } from 'node:http';
import { LOOPBACK } from './ports.ts';

/** An answer of rspamd: status, reason phrase and body as they came. */
export interface RspamdReply {
  readonly status: number;
  readonly reason: string;
  readonly body: string;
}

/** What Bayes says of a message: a verdict with its probability, or nothing. */
export interface BayesOpinion {
  readonly verdict: 'spam' | 'ham' | 'none';
  /** How sure Bayes is, in percent as rspamd prints it; 0 without a verdict. */
  readonly percent: number;
}

/** One request to rspamd on loopback. */
export interface Question {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
  readonly timeoutMs?: number;
}

/**
 * One request over one connection (rspamd has no keep-alive); every status is an answer.
 *
 * @throws when the connection fails, or after `timeoutMs` (default 30,000) of silence
 */
export async function ask(port: number, question: Question): Promise<RspamdReply> {
  const { method, path, headers, body, timeoutMs = 30_000 } = question;
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { host: LOOPBACK, port, method, path, agent: false, headers: { ...headers } },
      (response) => {
        const reply = { status: response.statusCode ?? 0, reason: response.statusMessage ?? '' };
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => (text += chunk));
        response.on('error', reject);
        response.on('close', () => {
          resolve({ ...reply, body: text });
        });
        // rspamd sends a body with 204, an error to Node's parser: status and reason are all there is
        if (reply.status === 204) resolve({ ...reply, body: '' });
      },
    );
    outgoing.setTimeout(timeoutMs, () => {
      outgoing.destroy(new Error(`${path}: silent for ${timeoutMs} ms`));
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

/** Bayes' symbol in an answer of `/checkv2`. */
export function parseOpinion(json: string): BayesOpinion {
  const answer = JSON.parse(json) as {
    symbols?: Record<string, { options?: readonly string[] } | undefined>;
  };
  for (const verdict of ['spam', 'ham'] as const) {
    const symbol = answer.symbols?.[`BAYES_${verdict.toUpperCase()}`];
    if (symbol !== undefined) {
      return { verdict, percent: Number.parseFloat(symbol.options?.[0] ?? '0') };
    }
  }
  return { verdict: 'none', percent: 0 };
}
