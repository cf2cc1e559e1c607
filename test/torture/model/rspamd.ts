import type { Timer } from '../../../src/clock.ts';
import type { Filter } from '../../../src/filter.ts';
import type { Verdict } from '../../../src/verdict.ts';
import type { Example, Outcome, Trainer } from '../../../src/trainers/trainer.ts';
import {
  DUPLICATE,
  LEARNED,
  NO_ANSWER,
  NO_REDIS,
  REFUSES,
  TOO_LARGE,
  TOO_SHORT,
  UNKNOWN_ERROR,
  UNREACHABLE,
  WRONG_PASSWORD,
} from '../../support/scripted-trainer.ts';
import { tokensOf } from './files.ts';
import type { Found, WrittenFiles } from './files.ts';
import type { Process } from './machine.ts';
import type { Timeline } from './time.ts';

/**
 * rspamd's controllers on one Redis, as FACTS tells of them: they remember the last verdict of a
 * message, work off what they were sent in the order in which it came, also what nobody waits for
 * any more, and say "learned" in situations where nothing is stored.
 */

/** What they can be like. */
export const MODES = [
  'up',
  /** No process: what it had been sent is gone with it. */
  'refused',
  /** No way to it. */
  'unreachable',
  /** Takes connections and does nothing, ever: SIGTERMed. */
  'silent',
  /** Takes connections, and does all of it when it goes on: SIGSTOPped. */
  'frozen',
  /** Closes each connection without an answer; what came is done or not. */
  'closing',
  /** An unknown 5xx; what came is done or not. */
  'erring',
  /** Redis can be read and not be written, and it says so. */
  'no-redis',
  /** Redis is away, and it says 200. */
  'unproven',
  /** Redis is full, and it says 200 to new messages and 208 to known ones. */
  'full',
  /** The password is wrong. */
  'forbidden',
] as const;

type Mode = (typeof MODES)[number];

/** One post. */
export interface Request {
  readonly filter: Filter;
  readonly process: Process;
  readonly controller: string;
  readonly verdict: Verdict;
  readonly found: Found;
  readonly sentAt: number;
  /** No other post of its process was under way there at any moment of it. */
  wasAlone: boolean;
  outcome: Outcome | undefined;
  endedAt: number | undefined;
}

/** Who watches what is sent, done and answered. */
export interface PostWatcher {
  sent(request: Request): void;
  /** The verdict gets into the memory. */
  stored(request: Request): void;
  answered(request: Request): void;
  /** A daemon wants to know what time it is. */
  asked(): void;
}

interface Memory {
  verdict: Verdict;
  /** Controllers that recognise it. */
  readonly by: Set<string>;
}

/** What all controllers share, by what they know messages by. */
export type Redis = Map<string, Memory>;

interface RspamdOptions {
  readonly filter: Filter;
  readonly name: string;
  readonly redis: Redis;
  readonly timeline: Timeline<Process>;
  readonly files: WrittenFiles;
  /** Milliseconds that a step takes there. */
  readonly latency: () => number;
  readonly coin: () => boolean;
  /** 200s after a start that are lost. */
  readonly forgets: number;
  /** What a dead daemon had sent and is not done yet is lost. */
  readonly forsakes: boolean;
  readonly watcher: PostWatcher;
  readonly violate: (what: string) => void;
}

interface Pending extends Request {
  readonly settle: (outcome: Outcome) => void;
  timer: Timer | undefined;
}

/** As long as a pin lasts at least; what a controller slept on for longer is forgotten. */
const LONGEST_SLEEP_MS = 3_000_000;

export class Rspamd {
  readonly requests: Request[] = [];
  readonly #options: RspamdOptions;
  #mode: Mode = 'up';
  #since = 0;
  #forgets: number;
  /** When it is done with what it has. */
  #busyUntil = 0;
  /** Counts changes of mode: what was begun in an earlier one begins anew. */
  #era = 0;
  /** Sent and not done; in order. */
  readonly #undone = new Set<Pending>();
  /** Waiting for their answers. */
  readonly #waiting = new Set<Pending>();
  /** Done while the answer can't leave. */
  readonly #held: (() => void)[] = [];

  constructor(options: RspamdOptions) {
    this.#options = options;
    this.#forgets = options.forgets;
  }

  get name(): string {
    return this.#options.name;
  }

  get mode(): Mode {
    return this.#mode;
  }

  set mode(mode: Mode) {
    const before = this.#mode;
    if (mode === before) return;
    const { timeline, forgets } = this.#options;
    const sleptLong = before === 'frozen' && timeline.now - this.#since > LONGEST_SLEEP_MS;
    this.#mode = mode;
    this.#since = timeline.now;
    if (mode === 'frozen' || before === 'frozen') this.#era += 1;
    if (mode === 'refused' || sleptLong) this.#lose();
    if (before === 'refused') this.#forgets = forgets;
    if (before !== 'frozen') return;
    for (const answer of this.#held.splice(0)) answer();
    for (const request of [...this.#undone]) this.#work(request);
  }

  /** The trainer that a process has for it. */
  trainerFor(process: Process): Trainer {
    const { filter } = this.#options;
    return {
      filter,
      name: this.name,
      memoryCure: '',
      ...(filter === 'rspamd'
        ? { longestPostMs: 30_000 }
        : { longestPostMs: 300_000, concurrency: 1 }),
      learn: (example, signal) => this.#receive(process, example, signal),
      statistics: () => Promise.resolve(undefined),
      time: () => {
        this.#options.watcher.asked();
        return Promise.resolve(this.#mode === 'up' ? this.#options.timeline.trueTime : undefined);
      },
    };
  }

  /** A daemon is gone. */
  forsakenBy(process: Process): void {
    for (const request of [...this.#waiting, ...this.#undone]) {
      if (request.process !== process) continue;
      request.timer?.cancel();
      this.#waiting.delete(request);
      request.endedAt ??= this.#options.timeline.now;
      if (this.#options.forsakes) this.#undone.delete(request);
    }
  }

  /** Posts of a process that are under way. */
  underWay(process: Process): Request[] {
    return [...this.#waiting].filter((each) => each.process === process);
  }

  #receive(process: Process, { verdict, body }: Example, signal: AbortSignal): Promise<Outcome> {
    if (process.isDead) return new Promise(() => undefined);
    if (signal.aborted) return Promise.resolve({ kind: 'aborted' });
    const { files, violate, timeline, watcher } = this.#options;
    const found = files.identify(body.toString('latin1'));
    if (typeof found === 'string') {
      violate(`a post of something else: ${found}`);
      return Promise.resolve(TOO_LARGE);
    }
    return new Promise((resolve) => {
      const request: Pending = {
        filter: this.#options.filter,
        process,
        controller: this.name,
        verdict,
        found,
        sentAt: timeline.now,
        wasAlone: true,
        outcome: undefined,
        endedAt: undefined,
        settle: resolve,
        timer: undefined,
      };
      for (const other of this.#waiting) {
        if (other.process !== process) continue;
        other.wasAlone = false;
        request.wasAlone = false;
      }
      watcher.sent(request);
      this.requests.push(request);
      this.#waiting.add(request);
      signal.addEventListener('abort', () => this.#end(request, { kind: 'aborted' }));
      this.#arrive(request);
    });
  }

  #arrive(request: Pending): void {
    switch (this.#mode) {
      case 'refused':
        this.#answer(request, REFUSES, 1);
        return;
      case 'unreachable':
        this.#answer(request, UNREACHABLE, 2_000);
        return;
      case 'forbidden':
        this.#answer(request, WRONG_PASSWORD, 2);
        return;
      default:
        request.timer = this.#options.timeline.after(
          30_000,
          () => this.#end(request, NO_ANSWER),
          request.process,
        );
        if (this.#mode === 'silent') return;
        this.#undone.add(request);
        if (this.#mode !== 'frozen') this.#work(request);
    }
  }

  /** Does it when all that came before is done. */
  #work(request: Pending): void {
    const { timeline, latency } = this.#options;
    this.#busyUntil = Math.max(this.#busyUntil, timeline.now) + latency();
    const era = this.#era;
    timeline.after(this.#busyUntil - timeline.now, () => {
      if (era === this.#era && this.#undone.delete(request)) this.#do(request);
    });
  }

  #do(request: Pending): void {
    const isShort = request.found.message.kind === 'short';
    const isKnown = this.#isKnown(request);
    switch (this.#mode) {
      case 'frozen':
      case 'silent':
      case 'refused':
      case 'unreachable':
        return;
      case 'forbidden':
        this.#answer(request, WRONG_PASSWORD);
        return;
      case 'closing':
      case 'erring':
        if (this.#options.coin()) this.#store(request);
        this.#answer(request, this.#mode === 'closing' ? NO_ANSWER : UNKNOWN_ERROR);
        return;
      case 'no-redis':
        this.#answer(request, isShort ? TOO_SHORT : isKnown ? DUPLICATE : NO_REDIS);
        return;
      case 'unproven':
        this.#answer(request, isShort ? TOO_SHORT : LEARNED);
        return;
      case 'full':
        this.#answer(request, isShort ? TOO_SHORT : isKnown ? DUPLICATE : LEARNED);
        return;
      case 'up':
        this.#learn(request);
    }
  }

  #learn(request: Pending): void {
    const { kind } = request.found.message;
    if (kind === 'crasher') this.#lose();
    else if (kind === 'odd') this.#answer(request, UNKNOWN_ERROR);
    else if (kind === 'rejected') this.#answer(request, TOO_LARGE);
    else if (kind === 'short') this.#answer(request, TOO_SHORT);
    else if (kind === 'normal' && this.#isKnown(request)) this.#answer(request, DUPLICATE);
    else if (kind !== 'hanger') {
      if (kind === 'normal' && this.#forgets > 0) this.#forgets -= 1;
      else this.#store(request);
      this.#answer(request, LEARNED);
    }
  }

  #isKnown({ found, verdict }: Request): boolean {
    const memory = this.#options.redis.get(tokensOf(found));
    return memory?.verdict === verdict && memory.by.has(this.name);
  }

  #store(request: Request): void {
    const { kind } = request.found.message;
    if (kind !== 'normal' && kind !== 'amnesiac') return;
    const { redis, watcher } = this.#options;
    const tokens = tokensOf(request.found);
    const memory = redis.get(tokens);
    if (memory?.verdict === request.verdict) memory.by.add(this.name);
    else redis.set(tokens, { verdict: request.verdict, by: new Set([this.name]) });
    watcher.stored(request);
  }

  /** The process is gone, and what it had been sent with it. */
  #lose(): void {
    this.#undone.clear();
    this.#held.length = 0;
    for (const request of this.#waiting) this.#answer(request, NO_ANSWER, 1);
  }

  #answer(request: Pending, outcome: Outcome, ms = this.#options.latency()): void {
    this.#options.timeline.after(
      ms,
      () => {
        if (this.#mode === 'frozen' && outcome !== UNREACHABLE) {
          this.#held.push(() => this.#answer(request, outcome, 1));
        } else this.#end(request, outcome);
      },
      request.process,
    );
  }

  #end(request: Pending, outcome: Outcome): void {
    if (!this.#waiting.delete(request)) return;
    const { watcher, timeline } = this.#options;
    request.timer?.cancel();
    request.outcome = outcome;
    request.endedAt = timeline.now;
    watcher.answered(request);
    request.settle(outcome);
  }
}
