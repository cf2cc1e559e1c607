import got from 'got';
import type { ExtendOptions, Got } from 'got';
import { Agent } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { ControllerAddress, RspamdConfig } from '../config.ts';
import type { Verdict } from '../spool/message.ts';
import { clean } from '../text.ts';
import { classifyAnswer, classifyFault } from './answers.ts';
import type { Answer, Fault } from './answers.ts';
import type { Outcome, Statistics, Trainer } from './trainer.ts';

/**
 * The transport to one rspamd controller. The only place that speaks HTTP to rspamd, and where
 * got's errors end: they carry the password header and the whole mail.
 */
export interface RspamdTrainerOptions extends Omit<RspamdConfig, 'controllers'> {
  readonly controller: ControllerAddress;
  /** Sends `Learn-Type: bulk`, which keeps rspamd from refusing what Bayes already believes. */
  readonly bulk: boolean;
}

const PATHS: Readonly<Record<Verdict, string>> = { spam: 'learnspam', ham: 'learnham' };
/** As much of an answer as is read. */
const MAX_ANSWER_BYTES = 65_536;

export class RspamdTrainer implements Trainer {
  readonly name: string;
  readonly #options: RspamdTrainerOptions;
  readonly #client: Got;

  constructor(options: RspamdTrainerOptions) {
    this.name = options.controller.name;
    this.#options = options;
    this.#client = got.extend(clientOptions(options));
  }

  async learn(verdict: Verdict, body: Buffer, signal: AbortSignal): Promise<Outcome> {
    const result = await this.#request(PATHS[verdict], signal, body);
    if (signal.aborted && 'code' in result) return { kind: 'aborted' };
    const outcome = 'code' in result ? classifyFault(result) : classifyAnswer(result);
    switch (outcome.kind) {
      case 'check-backend':
        return this.#refusedUnlessNoBackend(outcome.reason, signal);
      case 'misconfigured':
      case 'refused':
      case 'rejected':
      case 'unavailable':
      case 'deferred':
        return { ...outcome, reason: this.#redact(outcome.reason) };
      case 'learned':
      case 'duplicate':
        return outcome;
    }
  }

  async statistics(signal: AbortSignal): Promise<Statistics | undefined> {
    const result = await this.#request('stat', signal);
    if ('code' in result || result.status !== 200) return undefined;
    return parseStatistics(result.text);
  }

  async time(signal: AbortSignal): Promise<number | undefined> {
    const result = await this.#request('ping', signal);
    if ('code' in result || result.date === undefined) return undefined;
    const time = Date.parse(result.date);
    return Number.isNaN(time) ? undefined : time;
  }

  /** rspamd 3.4 says "all learn conditions denied" also when it has nowhere to learn to. */
  async #refusedUnlessNoBackend(reason: string, signal: AbortSignal): Promise<Outcome> {
    const statistics = await this.statistics(signal);
    if (statistics === undefined) {
      return { kind: 'deferred', reason: 'refused, and /stat gives no answer', answered: true };
    }
    return statistics.hasBackend
      ? { kind: 'refused', reason: this.#redact(reason) }
      : { kind: 'misconfigured', password: false, ...NO_BACKEND };
  }

  /** Neither a password nor the Message-ID that rspamd repeats belongs into a reason. */
  #redact(reason: string): string {
    return clean(this.#options.password.redact(reason).replace(/<[^>]*>/g, '<id>'), 160);
  }

  #request(path: string, signal: AbortSignal, body?: Buffer): Promise<Answer | Fault> {
    const password = this.#options.password.header();
    return new Promise((resolve) => {
      // A stream is got's cheapest form, and gives the answer of a 204 with a body, which Node's
      // parser follows with an error (rspamd sends one).
      const request = this.#client.stream(path, {
        method: body === undefined ? 'GET' : 'POST',
        headers: {
          ...(password === undefined ? {} : { password }),
          ...(body !== undefined && this.#options.bulk ? { 'learn-type': 'bulk' } : {}),
        },
        ...(body === undefined ? {} : { body }),
      });
      const abort = (): void => {
        settle({ code: 'ABORTED', text: '' });
      };
      let answer: Answer | undefined;
      const settle = (result: Answer | Fault): void => {
        signal.removeEventListener('abort', abort);
        resolve(result);
        request.destroy();
      };
      request.once('response', (response: IncomingMessage) => {
        const { statusCode = 0, statusMessage = '', headers } = response;
        answer = { status: statusCode, reason: statusMessage, text: '', date: headers.date };
        // The fixed answers say all in their status line.
        if (body !== undefined && statusCode >= 200 && statusCode < 300) settle(answer);
      });
      request.on('data', (chunk: Buffer) => {
        if (answer === undefined) return;
        const text = answer.text + chunk.toString('latin1');
        answer = { ...answer, text: text.slice(0, MAX_ANSWER_BYTES) };
        if (text.length >= MAX_ANSWER_BYTES) settle(answer);
      });
      request.once('end', () => {
        settle(answer ?? { code: 'NO_ANSWER', text: '' });
      });
      request.on('error', (error: unknown) => {
        settle(answer ?? faultOf(error));
      });
      if (signal.aborted) abort();
      else signal.addEventListener('abort', abort, { once: true });
    });
  }
}

const NO_BACKEND = {
  reason: 'rspamd has no Bayes backend ("statfiles" is empty in /stat)',
  hint: 'give its classifier "bayes" a backend: a Redis server in local.d/classifier-bayes.conf or redis.conf; then restart rspamd',
} as const;

function clientOptions(options: RspamdTrainerOptions): ExtendOptions {
  const { controller, timeoutMs, ca } = options;
  return {
    prefixUrl: controller.url,
    retry: { limit: 0 },
    // got would send the password and the mail along to any host that it is pointed to.
    followRedirect: false,
    throwHttpErrors: false,
    decompress: false,
    timeout: { request: timeoutMs },
    // rspamd repeats the Message-ID in its reason phrase; one of 17 KB overflows Node's limit.
    maxHeaderSize: MAX_ANSWER_BYTES,
    headers: { 'user-agent': 'kopano-learnd' },
    ...(controller.socketPath === undefined
      ? {}
      : { agent: { http: new Agent({ socketPath: controller.socketPath } as object) } }),
    ...(ca === undefined ? {} : { https: { certificateAuthority: ca } }),
  };
}

/** All of a got error that may leave this file: its code and the start of a broken status line. */
function faultOf(error: unknown): Fault {
  const chain: unknown[] = [];
  for (let each = error; each instanceof Error && chain.length < 5; each = each.cause) {
    chain.push(each);
  }
  let code = 'UNKNOWN';
  let text = '';
  for (const each of chain) {
    if (!(each instanceof Error)) continue;
    if ('code' in each && typeof each.code === 'string') code = each.code;
    if ('rawPacket' in each && Buffer.isBuffer(each.rawPacket)) {
      text = each.rawPacket.subarray(0, 1024).toString('latin1');
    }
  }
  return { code, text };
}

function parseStatistics(text: string): Statistics | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isRecord(parsed) || !Array.isArray(parsed['statfiles'])) return undefined;
  const learned: Record<Verdict, number | undefined> = { spam: undefined, ham: undefined };
  for (const statfile of parsed['statfiles'] as unknown[]) {
    // While Redis is away rspamd 3.4 shows "statfiles":[{},{}].
    if (!isRecord(statfile) || typeof statfile['revision'] !== 'number') continue;
    const verdict = statfile['symbol'] === 'BAYES_SPAM' ? 'spam' : 'ham';
    learned[verdict] = (learned[verdict] ?? 0) + statfile['revision'];
  }
  return {
    hasBackend: parsed['statfiles'].length > 0,
    learned,
    uptimeSeconds: typeof parsed['uptime'] === 'number' ? parsed['uptime'] : undefined,
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
