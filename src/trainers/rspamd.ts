import type { Verdict } from '../verdict.ts';
import { clean } from '../text.ts';
import { MAKE_BACKEND, classifyAnswer, faultOfVersion, knowingPassword } from './answers.ts';
import { classifyFault } from './connection-faults.ts';
import { ControllerPages } from './connection.ts';
import type { ConnectionOptions } from './connection.ts';
import { LearningPost } from './learning-post.ts';
import { presentable } from './reason.ts';
import type { Example, Outcome, Statistics, Trainer, VersionFault } from './trainer.ts';

/** One rspamd controller as a trainer: what is posted to it, and what its answers come to. */
export interface RspamdTrainerOptions extends ConnectionOptions {
  /** Sends `Learn-Type: bulk`, which keeps rspamd from refusing what Bayes already believes. */
  readonly bulk: boolean;
  /** The monotonic clock, in milliseconds. @defaultValue `performance.now` */
  readonly now?: () => number;
}

/** rspamd 3.4 says that of a message that there is nothing to learn from, and where it has no backend. */
const DENIED = /^204 all learn conditions denied/;
/** After so long without an answer rspamd may have been started anew. */
const FRESH_MS = 250;

const LOOK_AT_REDIS =
  "look at rspamd's log and at its Redis: out of memory, read-only, hung or unreachable; once that is mended, the next message or a SIGHUP to the daemon shows it";

export const NO_BACKEND = {
  reason: 'rspamd has no Bayes backend ("statfiles" is empty in /stat)',
  hint: MAKE_BACKEND,
} as const;

export class RspamdTrainer implements Trainer {
  readonly filter = 'rspamd';
  readonly memoryCure = LOOK_AT_REDIS;
  readonly name: string;
  readonly #options: RspamdTrainerOptions;
  readonly #post: LearningPost;
  readonly #pages: ControllerPages;
  readonly #now: () => number;
  #version: string | undefined;
  /** When it last answered; a post without an answer forgets that. */
  #answeredAt = -Infinity;

  constructor(options: RspamdTrainerOptions) {
    this.name = options.controller.name;
    this.#options = options;
    this.#post = new LearningPost(options);
    this.#pages = new ControllerPages(options);
    this.#now = options.now ?? (() => performance.now());
  }

  get version(): string | undefined {
    return this.#version;
  }

  get versionFault(): VersionFault | undefined {
    return faultOfVersion(this.#version);
  }

  async learn({ verdict, body, user }: Example, signal: AbortSignal): Promise<Outcome> {
    const asleep = await this.#wake(signal);
    if (asleep !== undefined) return asleep;
    const headers = {
      ...(this.#options.bulk && { 'learn-type': 'bulk' }),
      ...(user !== undefined && { 'deliver-to': user }),
    };
    const result = await this.#post.send(verdict, body, signal, headers);
    if ('code' in result) {
      if (signal.aborted) return { kind: 'aborted' };
      this.#answeredAt = -Infinity;
      return this.#presented(classifyFault(result), body, signal);
    }
    this.#answeredAt = this.#now();
    this.#noteVersion(/^rspamd\/(\S+)/.exec(String(result.headers['server']))?.[1]);
    const outcome = knowingPassword(classifyAnswer(result), this.#options.password);
    return this.#presented(outcome, body, signal);
  }

  async statistics(signal: AbortSignal): Promise<Statistics | undefined> {
    const statistics = parseStatistics((await this.#page('stat', signal))?.text ?? '');
    this.#noteVersion(statistics?.version);
    return statistics;
  }

  async time(signal: AbortSignal): Promise<number | undefined> {
    const time = Date.parse((await this.#page('ping', signal))?.headers.date ?? '');
    return Number.isNaN(time) ? undefined : time;
  }

  /**
   * Waits until rspamd answers `/ping`, where it may just have started: 4.1.5 listens before its
   * scripts are loaded, answers 200 to what is posted then and learns nothing of it, and in 2 of 100
   * starts even 208 to the next post of the same message. After a ping 80 of 80 were learned.
   * @returns why nothing was posted, if it doesn't answer
   */
  async #wake(signal: AbortSignal): Promise<Outcome | undefined> {
    if (this.#now() - this.#answeredAt < FRESH_MS) return undefined;
    const result = await this.#pages.get('ping', signal);
    if (signal.aborted) return { kind: 'aborted' };
    // Whatever it answers, and a proxy may answer for it: the post tells what that means.
    if ('status' in result || result.text !== '') return undefined;
    const outcome = classifyFault(result);
    // The message had no part in it.
    return outcome.kind === 'unavailable' || outcome.kind === 'misconfigured'
      ? outcome
      : { kind: 'unavailable', reason: `no answer to /ping (${result.code})`, contact: 'none' };
  }

  #noteVersion(version: string | undefined): void {
    if (version !== undefined && version !== this.#version) this.#version = clean(version, 40);
  }

  async #presented(outcome: Outcome, body: Buffer, signal: AbortSignal): Promise<Outcome> {
    if (!('reason' in outcome)) return outcome;
    const reason = presentable(this.#options.password.redact(outcome.reason), body);
    const isDenied = outcome.kind === 'refused' && DENIED.test(outcome.reason);
    return (isDenied ? await this.#backendFault(signal) : undefined) ?? { ...outcome, reason };
  }

  /** Why it has nowhere to learn to, if that is so. */
  async #backendFault(signal: AbortSignal): Promise<Outcome | undefined> {
    const statistics = await this.statistics(signal);
    if (statistics?.hasBackend === true) return undefined;
    if (statistics !== undefined && !isStarting(statistics)) {
      return { kind: 'misconfigured', password: false, ...NO_BACKEND };
    }
    const why = statistics === undefined ? '/stat does not tell its backend' : 'is still starting';
    return { kind: 'unavailable', reason: `rspamd refuses, and ${why}`, contact: 'answered' };
  }

  /** A page that is answered 200; of anything else a learning post tells. */
  async #page(path: string, signal: AbortSignal) {
    const result = await this.#pages.get(path, signal);
    return 'status' in result && result.status === 200 ? result : undefined;
  }
}

/** rspamd shows empty `statfiles` for the first moments after its start, whatever its backend. */
export function isStarting({ hasBackend, uptimeSeconds = Infinity }: Statistics): boolean {
  return !hasBackend && uptimeSeconds < 3;
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
  const { learned: learns, uptime, version } = parsed;
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
    ...(typeof learns === 'number' && { learns }),
    ...(users > 0 && { users }),
    uptimeSeconds: typeof uptime === 'number' ? uptime : undefined,
    ...(typeof version === 'string' && { version }),
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
