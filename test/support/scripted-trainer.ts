import type { Filter } from '../../src/filter.ts';
import type { Verdict } from '../../src/verdict.ts';
import { faultOfVersion } from '../../src/trainers/answers.ts';
import type {
  Example,
  Outcome,
  Statistics,
  Trainer,
  VersionFault,
} from '../../src/trainers/trainer.ts';

export const LEARNED: Outcome = { kind: 'learned' };
export const DUPLICATE: Outcome = { kind: 'duplicate' };
/** The connection was closed or reset, or nothing ever came. */
export const NO_ANSWER: Outcome = { kind: 'deferred', reason: 'no answer', answered: false };
/** A 5xx that isn't in the table of answers. */
export const UNKNOWN_ERROR: Outcome = { kind: 'deferred', reason: '500 what?', answered: true };
/** Its Redis is away. */
export const NO_REDIS: Outcome = {
  kind: 'unavailable',
  reason: '500 OOM command not allowed',
  contact: 'answered',
};
/** Nobody listens there. */
export const REFUSES: Outcome = {
  kind: 'unavailable',
  reason: 'connection refused',
  contact: 'refused',
};
/** Nobody can be reached there. */
export const UNREACHABLE: Outcome = {
  kind: 'unavailable',
  reason: 'not reachable',
  contact: 'none',
};
export const TOO_SHORT: Outcome = { kind: 'refused', reason: '204 less tokens than required' };
export const TOO_LARGE: Outcome = { kind: 'rejected', reason: '413 Undefined Error' };
/** A proxy in front of it lets nothing of this size through. */
export const HELD = {
  kind: 'held',
  reason: '413 Request Entity Too Large',
  hint: 'raise client_max_body_size',
} as const;
/** A proxy in front of it limits the rate. */
export function tooFast(retryAfterMs?: number): Outcome {
  return {
    kind: 'unavailable',
    reason: '429 Too Many Requests',
    contact: 'answered',
    limit: { retryAfterMs, hint: 'raise limit_req' },
  };
}
export const WRONG_PASSWORD: Outcome = {
  kind: 'misconfigured',
  reason: '401 Unauthorized',
  hint: 'set RSPAMD_PASSWORD',
  password: true,
};
export const WRONG_PORT: Outcome = {
  kind: 'misconfigured',
  reason: '404 Not found',
  hint: 'RSPAMD_URL',
  password: false,
};

/** One post that a trainer was asked for. */
export interface Post {
  readonly verdict: Verdict;
  /** The whole message. */
  readonly text: string;
  /** What the message's `X-Test` header says. */
  readonly name: string;
  /** How many posts were in flight there, this one included. */
  readonly besides: number;
}

/** Answers a post; `undefined` leaves it to what follows. */
export type Rule = (post: Post) => Outcome | Promise<Outcome> | undefined;

/**
 * A controller that does as it is told: the first rule that answers counts, and where none does it
 * learns like rspamd, which remembers the latest verdict of a message.
 */
export class ScriptedTrainer implements Trainer {
  readonly memoryCure = 'look at its memory';
  readonly longestPostMs = 30_000;
  readonly name: string;
  readonly filter: Filter;
  readonly posts: Post[] = [];
  /** Most posts that were in flight at a moment. */
  most = 0;
  /** What a message was last learned as. */
  readonly memory = new Map<string, Verdict>();
  clock: number | undefined;
  figures: Statistics | undefined;
  version: string | undefined;
  #inFlight = 0;
  #rules: readonly Rule[] = [];

  constructor(name = 'http://one:11334', filter: Filter = 'rspamd') {
    this.filter = filter;
    this.name = name;
  }

  get concurrency(): number | undefined {
    return this.filter === 'spamassassin' ? 1 : undefined;
  }

  /** From now on these rules and no others. */
  plays(...rules: readonly Rule[]): this {
    this.#rules = rules;
    return this;
  }

  get versionFault(): VersionFault | undefined {
    return faultOfVersion(this.version);
  }

  async learn({ verdict, body }: Example, signal: AbortSignal): Promise<Outcome> {
    if (signal.aborted) return { kind: 'aborted' };
    this.#inFlight += 1;
    this.most = Math.max(this.most, this.#inFlight);
    const text = body.length > 100_000 ? '' : body.toString('latin1');
    const name = /^X-Test: (.*?)\r?$/m.exec(body.toString('latin1', 0, 1_000))?.[1] ?? '';
    const post = { verdict, text, name, besides: this.#inFlight };
    this.posts.push(post);
    const answered = new AbortController();
    const aborted = new Promise<Outcome>((resolve) => {
      const abort = (): void => resolve({ kind: 'aborted' });
      signal.addEventListener('abort', abort, { signal: answered.signal });
    });
    try {
      return await Promise.race([this.#answer(post), aborted]);
    } finally {
      answered.abort();
      this.#inFlight -= 1;
    }
  }

  statistics(): Promise<Statistics | undefined> {
    return Promise.resolve(this.figures);
  }

  time(): Promise<number | undefined> {
    return Promise.resolve(this.clock);
  }

  /** The names of the posted messages, in order. */
  get names(): string[] {
    return this.posts.map(({ name }) => name);
  }

  /** The posts of one message. */
  of(name: string): Post[] {
    return this.posts.filter((post) => post.name === name);
  }

  #answer(post: Post): Outcome | Promise<Outcome> {
    for (const rule of this.#rules) {
      const outcome = rule(post);
      if (outcome !== undefined) return outcome;
    }
    const known = this.memory.get(post.name) === post.verdict;
    this.memory.set(post.name, post.verdict);
    return known ? DUPLICATE : LEARNED;
  }
}

/** Answers posts of messages with these names, so often. */
export function to(
  names: string | readonly string[],
  outcome: Outcome | ((post: Post) => Outcome | Promise<Outcome> | undefined),
  times = Infinity,
): Rule {
  const wanted = new Set(typeof names === 'string' ? [names] : names);
  return toAll((post) => {
    if (!wanted.has(post.name)) return undefined;
    return typeof outcome === 'function' ? outcome(post) : outcome;
  }, times);
}

/** Answers every post, so often. */
export function toAll(
  outcome: Outcome | ((post: Post) => Outcome | Promise<Outcome> | undefined),
  times = Infinity,
): Rule {
  let left = times;
  return (post) => {
    if (left <= 0) return undefined;
    const answer = typeof outcome === 'function' ? outcome(post) : outcome;
    if (answer !== undefined) left -= 1;
    return answer;
  };
}

/** Keeps posts waiting until the test answers them. */
export class Holder {
  readonly #held: { readonly post: Post; readonly answer: (outcome: Outcome) => void }[] = [];
  #isOpen = false;

  /** The rule: holds the posts of these messages, or of all. */
  of(...names: readonly string[]): Rule {
    return (post) => {
      if (this.#isOpen || (names.length > 0 && !names.includes(post.name))) return undefined;
      return new Promise((answer) => this.#held.push({ post, answer }));
    };
  }

  get names(): string[] {
    return this.#held.map(({ post }) => post.name);
  }

  /** Answers the oldest post of this message that waits. */
  answer(name: string, outcome: Outcome): void {
    const index = this.#held.findIndex(({ post }) => post.name === name);
    const [held] = index === -1 ? [] : this.#held.splice(index, 1);
    if (held === undefined) throw new Error(`no post of ${name} waits`);
    held.answer(outcome);
  }

  /** Answers all that wait, and holds nothing any more. */
  open(outcome: Outcome = LEARNED): void {
    this.#isOpen = true;
    for (const { answer } of this.#held.splice(0)) answer(outcome);
  }
}
