import { systemClock } from '../clock.ts';
import type { Clock } from '../clock.ts';
import type { FuzzyFlags } from '../fuzzy-flags.ts';
import type { Verdict } from '../verdict.ts';
import { clean } from '../text.ts';
import { MAKE_BACKEND, faultOfVersion, knowingPassword } from './answers.ts';
import { classifyFault } from './connection-faults.ts';
import { classifyLearning, learningPost } from './classes.ts';
import { Connection } from './connection.ts';
import type { ConnectionOptions } from './connection.ts';
import { Fuzzy } from './fuzzy.ts';
import type { FuzzyLists } from './fuzzy.ts';
import { presentableOutcome } from './reason.ts';
import type { Example, Outcome, Statistics, Trainer, VersionFault } from './trainer.ts';

/** One rspamd controller as a trainer: what is posted to it, and what its answers come to. */
export interface RspamdTrainerOptions extends ConnectionOptions {
  /** Sends `Learn-Type: bulk`, which keeps rspamd from refusing what Bayes already believes. */
  readonly bulk: boolean;
  /** The lists of the fuzzy storage that messages are added to. @defaultValue it is left alone */
  readonly fuzzy?: FuzzyFlags | undefined;
  /** What was added to which list. @defaultValue unknown: nothing is deleted from one */
  readonly fuzzyLists?: FuzzyLists | undefined;
  /** Most messages are not proven (`relearn`). @defaultValue false */
  readonly isSparse?: boolean;
  /** @defaultValue the system's */
  readonly clock?: Clock;
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
  readonly hasUsers = true;
  readonly name: string;
  readonly longestPostMs: number;
  readonly #options: RspamdTrainerOptions;
  readonly #connection: Connection;
  readonly #fuzzy: Fuzzy | undefined;
  readonly #clock: Clock;
  #version: string | undefined;
  /** When it last answered; a post without an answer forgets that. */
  #answeredAt = -Infinity;

  constructor(options: RspamdTrainerOptions) {
    this.name = options.controller.name;
    this.#options = options;
    this.#connection = new Connection(options);
    const { fuzzy: flags, fuzzyLists: lists, isSparse = false, clock = systemClock } = options;
    // The lists of the fuzzy storage are asked before and after.
    this.longestPostMs = options.timeoutMs * (1 + (flags?.size ?? 0));
    this.#fuzzy =
      flags && new Fuzzy({ flags, lists, connection: this.#connection, isSparse, clock });
    this.#clock = clock;
  }

  get version(): string | undefined {
    return this.#version;
  }

  get versionFault(): VersionFault | undefined {
    return faultOfVersion(this.#version);
  }

  async learn(example: Example, signal: AbortSignal): Promise<Outcome> {
    const outcome = (await this.#wake(signal)) ?? (await this.#teach(example, signal));
    return presentableOutcome(outcome, example.body, this.#options.password);
  }

  async #teach(example: Example, signal: AbortSignal): Promise<Outcome> {
    const obstacle = await this.#fuzzy?.before(example, signal);
    if (obstacle !== undefined) return obstacle;
    const outcome = await this.#learn(example, signal);
    return (await this.#fuzzy?.after(example, outcome, signal)) ?? outcome;
  }

  async #learn({ verdict, body, user }: Example, signal: AbortSignal): Promise<Outcome> {
    const { path, headers } = learningPost(verdict);
    const result = await this.#connection.post(path, body, signal, {
      ...headers,
      ...(this.#options.bulk && { 'learn-type': 'bulk' }),
      ...(user !== undefined && { 'deliver-to': user }),
    });
    if ('code' in result) {
      if (signal.aborted) return { kind: 'aborted' };
      this.#answeredAt = -Infinity;
      return classifyFault(result);
    }
    this.#answeredAt = this.#clock.monotonic();
    this.#noteVersion(/^rspamd\/(\S+)/.exec(String(result.headers['server']))?.[1]);
    const { password } = this.#options;
    const outcome = knowingPassword(classifyLearning(result, verdict), password);
    const isDenied = outcome.kind === 'refused' && DENIED.test(outcome.reason);
    return (isDenied ? await this.#backendFault(signal) : undefined) ?? outcome;
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
    if (this.#clock.monotonic() - this.#answeredAt < FRESH_MS) return undefined;
    const result = await this.#connection.get('ping', signal);
    if (signal.aborted) return { kind: 'aborted' };
    // Whatever it answers, what Node.js doesn't understand (HPE_...) as well, and a proxy may answer for
    // it: the post tells what that means.
    if ('status' in result || result.code.startsWith('HPE_')) return undefined;
    const outcome = classifyFault(result);
    // The message had no part in it.
    return outcome.kind === 'unavailable' || outcome.kind === 'misconfigured'
      ? outcome
      : { kind: 'unavailable', reason: `no answer to /ping (${result.code})`, contact: 'none' };
  }

  #noteVersion(version: string | undefined): void {
    if (version !== undefined && version !== this.#version) this.#version = clean(version, 40);
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
    const result = await this.#connection.get(path, signal);
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
  const { learned: learns, uptime, version, fuzzy_hashes: fuzzy } = parsed;
  const learned = new Map<Verdict, number>();
  let users = 0;
  let hasNamedClasses = false;
  for (const statfile of parsed['statfiles'] as unknown[]) {
    // While Redis is away rspamd 3.4 shows "statfiles":[{},{}].
    if (!isRecord(statfile) || typeof statfile['revision'] !== 'number') continue;
    const verdict = classOf(statfile);
    learned.set(verdict, (learned.get(verdict) ?? 0) + statfile['revision']);
    hasNamedClasses ||= isMultiClass(statfile['classifier']);
    if (typeof statfile['users'] === 'number') users = Math.max(users, statfile['users']);
  }
  return {
    hasBackend: parsed['statfiles'].length > 0,
    learned: { spam: learned.get('spam'), ham: learned.get('ham'), ...Object.fromEntries(learned) },
    ...(typeof learns === 'number' && { learns }),
    ...(users > 0 && { users }),
    ...(hasNamedClasses && { hasNamedClasses }),
    // Absent while none answers (3.4): the hashes of each rule's storage.
    ...(isRecord(fuzzy) && Object.keys(fuzzy).length > 0 && { hasFuzzyStorage: true }),
    uptimeSeconds: typeof uptime === 'number' ? uptime : undefined,
    ...(typeof version === 'string' && { version }),
  };
}

/** rspamd 4.1.5 names the class. */
function classOf(statfile: Record<string, unknown>): Verdict {
  if (typeof statfile['class'] === 'string') return statfile['class'];
  return statfile['symbol'] === 'BAYES_SPAM' ? 'spam' : 'ham';
}

/** rspamd 4.1.5 calls it so where the statfiles have `class`, and `binary` where they have `spam`. */
function isMultiClass(classifier: unknown): boolean {
  return isRecord(classifier) && classifier['type'] === 'multi-class';
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
