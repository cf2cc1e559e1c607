import type { Verdict } from '../verdict.ts';
import { clean } from '../text.ts';
import { classifyAnswer, classifyFault } from './answers.ts';
import type { Answer } from './connection.ts';
import type { ConnectionOptions } from './connection.ts';
import { LearningPost } from './learning-post.ts';
import { ControllerPages } from './pages.ts';
import { presentable } from './reason.ts';
import type { Outcome, Statistics, Trainer } from './trainer.ts';

/** One rspamd controller as a trainer: what is posted to it, and what its answers come to. */
export interface RspamdTrainerOptions extends ConnectionOptions {
  /** Sends `Learn-Type: bulk`, which keeps rspamd from refusing what Bayes already believes. */
  readonly bulk: boolean;
  /** The monotonic clock, in milliseconds. @defaultValue `performance.now` */
  readonly now?: () => number;
}

/** After so long without an answer rspamd may have been started anew. */
const FRESH_MS = 250;

/** rspamd shows empty `statfiles` for the first moments after its start, whatever its backend. */
export function isStarting({ hasBackend, uptimeSeconds = Infinity }: Statistics): boolean {
  return !hasBackend && uptimeSeconds < 3;
}

export class RspamdTrainer implements Trainer {
  readonly name: string;
  readonly host: string;
  readonly #options: RspamdTrainerOptions;
  readonly #post: LearningPost;
  readonly #pages: ControllerPages;
  #version: string | undefined;
  /** When it last answered; a post without an answer forgets that. */
  #answeredAt = -Infinity;

  constructor(options: RspamdTrainerOptions) {
    this.name = options.controller.name;
    this.host = new URL(options.controller.url).hostname;
    this.#options = options;
    this.#post = new LearningPost(options);
    this.#pages = new ControllerPages(options);
  }

  get version(): string | undefined {
    return this.#version;
  }

  async learn(verdict: Verdict, body: Buffer, signal: AbortSignal): Promise<Outcome> {
    const asleep = await this.#wake(signal);
    if (asleep !== undefined) return asleep;
    const result = await this.#post.send({
      verdict,
      headers: this.#options.bulk ? { 'learn-type': 'bulk' } : {},
      body,
      signal,
    });
    if (signal.aborted && 'code' in result) return { kind: 'aborted' };
    this.#answeredAt = 'status' in result ? this.#now : -Infinity;
    if ('status' in result) this.#noteVersion(/^rspamd\/(\S+)/.exec(result.server ?? '')?.[1]);
    const outcome = 'code' in result ? classifyFault(result, this) : classifyAnswer(result);
    switch (outcome.kind) {
      case 'check-backend':
        return this.#refusedUnlessNoBackend(outcome.reason, body, signal);
      case 'misconfigured':
      case 'refused':
      case 'rejected':
      case 'held':
      case 'unavailable':
      case 'deferred':
        return { ...outcome, reason: this.#presentable(outcome.reason, body) };
      case 'learned':
      case 'duplicate':
        return outcome;
    }
  }

  async statistics(signal: AbortSignal): Promise<Statistics | undefined> {
    const answer = await this.#page('stat', signal);
    const statistics = answer === undefined ? undefined : parseStatistics(answer.text);
    this.#noteVersion(statistics?.version);
    return statistics;
  }

  async time(signal: AbortSignal): Promise<number | undefined> {
    const answer = await this.#page('ping', signal);
    const time = Date.parse(answer?.date ?? '');
    return Number.isNaN(time) ? undefined : time;
  }

  get #now(): number {
    return (this.#options.now ?? (() => performance.now()))();
  }

  /**
   * Waits until rspamd answers `/ping`, where it may just have started: 4.1.5 listens before its
   * scripts are loaded, answers 200 to what is posted then and learns nothing of it, and in 2 of 100
   * starts even 208 to the next post of the same message. After a ping 80 of 80 were learned.
   * @returns why nothing was posted, if it doesn't answer
   */
  async #wake(signal: AbortSignal): Promise<Outcome | undefined> {
    if (this.#now - this.#answeredAt < FRESH_MS) return undefined;
    const result = await this.#pages.get('ping', signal);
    if (signal.aborted) return { kind: 'aborted' };
    // Whatever it answers, and a proxy may answer for it: the post tells what that means.
    if ('status' in result || result.text !== '') return undefined;
    const outcome = classifyFault(result, this);
    // The message had no part in it.
    return outcome.kind === 'unavailable' || outcome.kind === 'misconfigured'
      ? outcome
      : { kind: 'unavailable', reason: `no answer to /ping (${result.code})`, contact: 'none' };
  }

  #noteVersion(version: string | undefined): void {
    if (version !== undefined && version !== this.#version) this.#version = clean(version, 40);
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
    if (isStarting(statistics)) {
      return { kind: 'unavailable', reason: 'rspamd is still starting', contact: 'answered' };
    }
    return { kind: 'misconfigured', password: false, ...NO_BACKEND };
  }

  #presentable(reason: string, mail: Buffer): string {
    return presentable(this.#options.password.redact(reason), mail);
  }

  /** A page that is answered 200; of anything else a learning post tells. */
  async #page(path: string, signal: AbortSignal): Promise<Answer | undefined> {
    const result = await this.#pages.get(path, signal);
    return 'status' in result && result.status === 200 ? result : undefined;
  }
}

export const NO_BACKEND = {
  reason: 'rspamd has no Bayes backend ("statfiles" is empty in /stat)',
  hint: 'give its classifier "bayes" a backend: a Redis server in local.d/classifier-bayes.conf or redis.conf; then restart rspamd',
} as const;

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
  let users = 0;
  for (const statfile of parsed['statfiles'] as unknown[]) {
    // While Redis is away rspamd 3.4 shows "statfiles":[{},{}].
    if (!isRecord(statfile) || typeof statfile['revision'] !== 'number') continue;
    const verdict = statfile['symbol'] === 'BAYES_SPAM' ? 'spam' : 'ham';
    learned[verdict] = (learned[verdict] ?? 0) + statfile['revision'];
    if (typeof statfile['users'] === 'number') users = Math.max(users, statfile['users']);
  }
  return {
    hasBackend: parsed['statfiles'].length > 0,
    learned,
    ...(typeof parsed['learned'] === 'number' ? { learns: parsed['learned'] } : {}),
    ...(users > 0 ? { users } : {}),
    uptimeSeconds: typeof parsed['uptime'] === 'number' ? parsed['uptime'] : undefined,
    ...(typeof parsed['version'] === 'string' ? { version: parsed['version'] } : {}),
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
