import got from 'got';
import type { ExtendOptions, Got } from 'got';
import { Agent } from 'node:http';
import type { ControllerAddress, RspamdConfig } from '../config.ts';
import type { Verdict } from '../spool/message.ts';
import { classifyAnswer, classifyFault } from './answers.ts';
import { LearningPost, MAX_ANSWER_BYTES } from './learning-post.ts';
import { presentable } from './reason.ts';
import type { Outcome, Statistics, Trainer } from './trainer.ts';

/**
 * The transport to one rspamd controller. With `learning-post.ts` the only place that speaks HTTP to
 * rspamd, and where HTTP errors end: got's carry the password header and the whole mail.
 */
export interface RspamdTrainerOptions extends Omit<RspamdConfig, 'controllers'> {
  readonly controller: ControllerAddress;
  /** Sends `Learn-Type: bulk`, which keeps rspamd from refusing what Bayes already believes. */
  readonly bulk: boolean;
}

const PATHS: Readonly<Record<Verdict, string>> = { spam: 'learnspam', ham: 'learnham' };
/** rspamd shows empty `statfiles` for the first moments after its start, whatever its backend. */
const SETTLED_SECONDS = 3;

export class RspamdTrainer implements Trainer {
  readonly name: string;
  readonly #options: RspamdTrainerOptions;
  readonly #post: LearningPost;
  readonly #client: Got;

  constructor(options: RspamdTrainerOptions) {
    this.name = options.controller.name;
    this.#options = options;
    this.#post = new LearningPost(options);
    this.#client = got.extend(clientOptions(options));
  }

  async learn(verdict: Verdict, body: Buffer, signal: AbortSignal): Promise<Outcome> {
    const result = await this.#post.send({
      path: PATHS[verdict],
      headers: { ...this.#headers(), ...(this.#options.bulk ? { 'learn-type': 'bulk' } : {}) },
      body,
      signal,
    });
    if (signal.aborted && 'code' in result) return { kind: 'aborted' };
    const outcome = 'code' in result ? classifyFault(result) : classifyAnswer(result);
    switch (outcome.kind) {
      case 'check-backend':
        return this.#refusedUnlessNoBackend(outcome.reason, body, signal);
      case 'misconfigured':
      case 'refused':
      case 'rejected':
      case 'unavailable':
      case 'deferred':
        return { ...outcome, reason: this.#presentable(outcome.reason, body) };
      case 'learned':
      case 'duplicate':
        return outcome;
    }
  }

  async statistics(signal: AbortSignal): Promise<Statistics | undefined> {
    const answer = await this.#get('stat', signal);
    return answer === undefined ? undefined : parseStatistics(answer.body);
  }

  async time(signal: AbortSignal): Promise<number | undefined> {
    const answer = await this.#get('ping', signal);
    const time = Date.parse(answer?.date ?? '');
    return Number.isNaN(time) ? undefined : time;
  }

  /** rspamd 3.4 says "all learn conditions denied" also when it has nowhere to learn to. */
  async #refusedUnlessNoBackend(
    reason: string,
    body: Buffer,
    signal: AbortSignal,
  ): Promise<Outcome> {
    const statistics = await this.statistics(signal);
    if (statistics === undefined) {
      const why = 'it refuses, and /stat does not tell whether it has a backend';
      return { kind: 'unavailable', reason: why, contact: 'answered' };
    }
    if (statistics.hasBackend) return { kind: 'refused', reason: this.#presentable(reason, body) };
    if ((statistics.uptimeSeconds ?? Infinity) < SETTLED_SECONDS) {
      return { kind: 'unavailable', reason: 'rspamd is still starting', contact: 'answered' };
    }
    return { kind: 'misconfigured', password: false, ...NO_BACKEND };
  }

  #presentable(reason: string, mail: Buffer): string {
    return presentable(this.#options.password.redact(reason), mail);
  }

  #headers(): Record<string, string> {
    const password = this.#options.password.header();
    return { 'user-agent': 'kopano-learnd', ...(password === undefined ? {} : { password }) };
  }

  /** Asks for one of the controller's pages; `undefined` when it doesn't answer 200. */
  async #get(
    path: string,
    signal: AbortSignal,
  ): Promise<{ readonly body: string; readonly date: string | undefined } | undefined> {
    try {
      const request = this.#client.get(path, { headers: this.#headers(), signal });
      void request.on('downloadProgress', ({ transferred }) => {
        if (transferred > MAX_ANSWER_BYTES) request.cancel();
      });
      const { statusCode, body, headers } = await request;
      return statusCode === 200 ? { body, date: headers.date } : undefined;
    } catch {
      return undefined; // what failed says a learning post
    }
  }
}

const NO_BACKEND = {
  reason: 'rspamd has no Bayes backend ("statfiles" is empty in /stat)',
  hint: 'give its classifier "bayes" a backend: a Redis server in local.d/classifier-bayes.conf or redis.conf; then restart rspamd',
} as const;

function clientOptions({ controller, timeoutMs, ca }: RspamdTrainerOptions): ExtendOptions {
  return {
    prefixUrl: controller.url,
    retry: { limit: 0 },
    // got would send the password along to any host that it is pointed to.
    followRedirect: false,
    throwHttpErrors: false,
    decompress: false,
    timeout: { request: timeoutMs },
    ...(controller.socketPath === undefined
      ? {}
      : { agent: { http: new Agent({ socketPath: controller.socketPath } as object) } }),
    ...(ca === undefined ? {} : { https: { certificateAuthority: ca } }),
  };
}

/** Reads `/stat`; `undefined` when that isn't rspamd's. */
export function parseStatistics(text: string): Statistics | undefined {
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
