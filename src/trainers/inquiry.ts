import type { ControllerAddress, RspamdConfig } from '../config.ts';
import { classifyAnswer, classifyFault } from './answers.ts';
import type { Answer, Classified, Fault } from './answers.ts';
import { LearningPost } from './learning-post.ts';
import { presentable } from './reason.ts';
import { parseStatistics } from './rspamd.ts';
import type { Statistics } from './trainer.ts';

/**
 * Questions to a controller that teach it nothing. The answers are kept apart (status, words, error
 * code), because each one has its own cure.
 */
export class Inquiry {
  readonly name: string;
  readonly host: string;
  readonly hasPassword: boolean;
  readonly #post: LearningPost;
  readonly #options: InquiryOptions;

  constructor(options: InquiryOptions) {
    const { controller, timeoutMs } = options;
    this.name = controller.name;
    this.host = new URL(controller.url).hostname;
    this.hasPassword = options.password.header() !== undefined;
    this.#options = options;
    this.#post = new LearningPost({ ...options, timeoutMs: Math.min(timeoutMs, PATIENCE_MS) });
  }

  /** Needs no password. */
  ping(): Promise<Reply> {
    return this.#ask('GET', 'ping');
  }

  /** Needs `password` or `enable_password`. */
  async statistics(): Promise<Reply & { readonly statistics?: Statistics }> {
    const reply = await this.#ask('GET', 'stat');
    const statistics = reply.status === 200 ? parseStatistics(reply.text) : undefined;
    return statistics === undefined ? reply : { ...reply, statistics };
  }

  /**
   * Needs the right to learn. rspamd asks for that first and looks at the body then: an empty one
   * is answered 400 and changes nothing (tried on 3.4).
   */
  learnNothing(): Promise<Reply> {
    return this.#ask('POST', 'learnspam');
  }

  /**
   * Asks for no line of the history, which lies in Redis unless that is switched off: what shows an
   * outage of Redis without learning anything. It is answered 504 then, while /stat goes on showing
   * its last figures (tried on 3.4 and 3.12.1).
   */
  history(): Promise<Reply> {
    return this.#ask('GET', 'history?from=1&to=0');
  }

  async #ask(method: 'GET' | 'POST', path: string): Promise<Reply> {
    const { password, signal } = this.#options;
    const header = password.header();
    const result = await this.#post.send({
      method,
      path,
      headers: {
        'user-agent': 'kopano-learnd',
        ...(header === undefined ? {} : { password: header }),
      },
      body: Buffer.alloc(0),
      signal,
      wantsText: true,
    });
    return this.#replyOf(result);
  }

  #replyOf(result: Answer | Fault): Reply {
    const isFault = 'code' in result;
    const meaning = isFault ? classifyFault(result) : classifyAnswer(result);
    const reason = isFault ? result.code : `${result.status} ${result.reason}`.trim();
    return {
      status: isFault ? undefined : result.status,
      code: isFault ? result.code : undefined,
      reason: presentable(this.#options.password.redact(reason), Buffer.alloc(0)),
      text: result.text,
      date: isFault ? undefined : result.date,
      meaning,
    };
  }
}

export interface InquiryOptions extends Omit<RspamdConfig, 'controllers'> {
  readonly controller: ControllerAddress;
  readonly signal: AbortSignal;
}

/** An answer, or what came instead of one. */
export interface Reply {
  readonly status: number | undefined;
  /** The error's code where there was no answer. */
  readonly code: string | undefined;
  /** Status and words, or the code; fit for a terminal. */
  readonly reason: string;
  /** The body as it came: never to be shown. */
  readonly text: string;
  /** The `Date` header. */
  readonly date: string | undefined;
  readonly meaning: Classified;
}

/** Nobody waits longer than this for a doctor. */
const PATIENCE_MS = 10_000;
