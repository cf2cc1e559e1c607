import type { Verdict } from '../../../src/verdict.ts';
import { FaultServer } from '../../faults/fault-server.ts';
import type { Act, FaultRequest } from '../../faults/fault-server.ts';
import {
  NOT_FOUND,
  SUCCESS,
  alreadyLearned,
  failure,
  messageIdOf,
  statistics,
} from '../../faults/plays.ts';

/**
 * A controller that remembers as rspamd does, and can be asked what without teaching it anything:
 * 200 for what it learns, 208 for what it knows in that class, 400 for an empty body. The real one
 * shares with it that what has arrived is carried out, whether the sender still lives or not.
 */
export class KillController implements AsyncDisposable {
  readonly #server: FaultServer;
  readonly #known = new Map<string, Verdict>();
  /** What the daemon that runs now has posted. */
  readonly #posted = new Set<string>();
  /** What earlier ones had learned when they died. */
  #inherited: ReadonlyMap<string, Verdict> = new Map();
  #repeated = 0;
  readonly #listeners: PostListener[] = [];

  private constructor(server: FaultServer) {
    this.#server = server;
    server.play = (request) => this.#play(request);
  }

  static async start(): Promise<KillController> {
    return new KillController(await FaultServer.start({ play: () => NOT_FOUND }));
  }

  get url(): string {
    return this.#server.url;
  }

  /** As what it remembers a message, by its Message-ID. */
  verdictOn(messageId: string): Verdict | undefined {
    return this.#known.get(messageId);
  }

  /** Learned messages that a later daemon posted again in the same class. */
  get repeated(): number {
    return this.#repeated;
  }

  /** Calls back once, at the first post of a message in this class; its answer waits meanwhile. */
  onPost(messageId: string, verdict: Verdict, act: () => void): void {
    this.#listeners.push({ messageId, verdict, act });
  }

  /** The daemon has died: what comes now is from another one. */
  nextDaemon(): void {
    this.#inherited = new Map(this.#known);
    this.#posted.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
  }

  #play({ path, body }: FaultRequest): Act {
    const verdict = path === '/learnspam' ? 'spam' : path === '/learnham' ? 'ham' : undefined;
    if (verdict !== undefined) {
      if (body.length === 0) return failure(400, 'Empty body is not permitted');
      return this.#learn(messageIdOf(body), verdict);
    }
    const spam = [...this.#known.values()].filter((each) => each === 'spam').length;
    return path === '/stat' ? statistics(spam, this.#known.size - spam) : NOT_FOUND;
  }

  #learn(messageId: string, verdict: Verdict): Act {
    const isFirst = !this.#posted.has(messageId);
    this.#posted.add(messageId);
    if (isFirst && this.#inherited.get(messageId) === verdict) this.#repeated += 1;
    const act =
      this.#known.get(messageId) === verdict ? alreadyLearned(messageId, verdict) : SUCCESS;
    this.#known.set(messageId, verdict);
    const heard = this.#listeners.findIndex(
      (each) => each.messageId === messageId && each.verdict === verdict,
    );
    if (heard === -1) return act;
    this.#listeners.splice(heard, 1)[0]?.act();
    return { ...act, everyMs: ANSWER_WAITS_MS };
  }
}

interface PostListener {
  readonly messageId: string;
  readonly verdict: Verdict;
  readonly act: () => void;
}

/** What is done at a post is done before its answer, on a machine that isn't busy. */
const ANSWER_WAITS_MS = 100;
