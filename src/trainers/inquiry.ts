import type { Secret } from '../secret.ts';
import { classifyAnswer, isProxys, knowingPassword, statusLine } from './answers.ts';
import { classifyLearning, learningPost } from './classes.ts';
import { classifyFault } from './connection-faults.ts';
import type { Answer, Fault } from './answer-reader.ts';
import { Connection } from './connection.ts';
import type { ConnectionOptions } from './connection.ts';
import { classifyFuzzy } from './fuzzy.ts';
import { presentable, presentableOutcome } from './reason.ts';
import { parseStatistics } from './rspamd.ts';
import type { Outcome, Statistics } from './trainer.ts';
import type { Verdict } from '../verdict.ts';

/** An answer, or what came instead of one. All but `text` and `headers` is fit for a terminal. */
export interface Reply extends Partial<Answer> {
  /** The error's code where there was no answer. */
  readonly code?: string;
  /** Status and words, or the code. */
  readonly reason: string;
  readonly text: string;
  readonly meaning: Outcome;
  /** A proxy in front of rspamd said it by itself. */
  readonly isProxys: boolean;
}

/** Nobody waits longer than this for a doctor. */
const PATIENCE_MS = 10_000;
const NO_CONTENT = Buffer.from('\r\n');

/**
 * Questions to a controller that teach it nothing. The answers are kept apart (status, words, error
 * code), because each one has its own cure.
 */
export class Inquiry {
  readonly name: string;
  readonly hasPassword: boolean;
  readonly #connection: Connection;
  readonly #password: Secret;
  readonly #signal: AbortSignal;

  constructor(options: ConnectionOptions & { readonly signal: AbortSignal }) {
    const { controller, password, timeoutMs, signal } = options;
    this.name = controller.name;
    this.hasPassword = password.header() !== undefined;
    this.#password = password;
    this.#signal = signal;
    this.#connection = new Connection({
      ...options,
      timeoutMs: Math.min(timeoutMs, PATIENCE_MS),
    });
  }

  /** Needs no password. */
  ping(): Promise<Reply> {
    return this.#page('ping');
  }

  /** Needs `password` or `enable_password`. */
  async statistics(): Promise<Reply & { readonly statistics?: Statistics }> {
    const reply = await this.#page('stat');
    const statistics = reply.status === 200 ? parseStatistics(reply.text) : undefined;
    return statistics === undefined ? reply : { ...reply, statistics };
  }

  /**
   * Needs the right to learn. rspamd asks for that first and looks at the body then: an empty one
   * is answered 400 and changes nothing (tried on 3.4).
   */
  async learnNothing(): Promise<Reply> {
    return this.#replyOf(await this.#connection.post('learnspam', Buffer.alloc(0), this.#signal));
  }

  /**
   * Asks whether it learns a further class, by a message without any content: of one that it has
   * rspamd 4.1.5 says that it has too few words, and learns nothing.
   * @returns why it would learn no message of it
   */
  async classFault(verdict: Verdict): Promise<Outcome | undefined> {
    const { path, headers } = learningPost(verdict);
    const result = await this.#connection.post(path, NO_CONTENT, this.#signal, headers);
    const outcome = 'code' in result ? classifyFault(result) : classifyLearning(result, verdict);
    const isWell = ['refused', 'learned', 'duplicate', 'rejected'].includes(outcome.kind);
    return isWell ? undefined : presentableOutcome(outcome, undefined, this.#password);
  }

  /**
   * Asks whether its fuzzy storage has a list with this flag, by a message without any content: rspamd
   * asks for the list first and finds nothing to delete then (tried on 3.4).
   * @returns why no message could be added to it
   */
  async fuzzyFault(flag: number): Promise<Outcome | undefined> {
    const headers = { flag: String(flag) };
    const result = await this.#connection.post('fuzzydel', NO_CONTENT, this.#signal, headers);
    const fault = classifyFuzzy(result, flag);
    return fault && presentableOutcome(fault, undefined, this.#password);
  }

  /**
   * Asks for no line of the history, which lies in Redis unless that is switched off: what shows an
   * outage of Redis without learning anything. It is answered 504 then, while /stat goes on showing
   * its last figures (tried on 3.4 and 3.12.1).
   */
  history(): Promise<Reply> {
    return this.#page('history?from=1&to=0');
  }

  async #page(path: string): Promise<Reply> {
    return this.#replyOf(await this.#connection.get(path, this.#signal));
  }

  #replyOf(result: Answer | Fault): Reply {
    const isAnswer = 'status' in result;
    const meaning = isAnswer
      ? knowingPassword(classifyAnswer(result), this.#password)
      : classifyFault(result);
    return {
      text: '',
      ...result,
      reason: presentable(isAnswer ? statusLine(result) : result.code, undefined, this.#password),
      meaning: presentableOutcome(meaning, undefined, this.#password),
      isProxys: isAnswer && isProxys(result),
    };
  }
}
