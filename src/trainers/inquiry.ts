import { classifyAnswer, classifyFault } from './answers.ts';
import type { Classified } from './answers.ts';
import type { Answer, Fault } from './connection.ts';
import type { ConnectionOptions } from './connection.ts';
import { LearningPost } from './learning-post.ts';
import { ControllerPages } from './pages.ts';
import { isRspamds, proxyAnswer } from './proxies.ts';
import type { ProxyAnswer } from './proxies.ts';
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
  readonly #pages: ControllerPages;
  readonly #post: LearningPost;
  readonly #announcement: LearningPost;
  readonly #options: InquiryOptions;

  constructor(options: InquiryOptions) {
    const { controller, timeoutMs } = options;
    this.name = controller.name;
    this.host = new URL(controller.url).hostname;
    this.hasPassword = options.password.header() !== undefined;
    this.#options = options;
    const connection = { ...options, timeoutMs: Math.min(timeoutMs, PATIENCE_MS) };
    this.#pages = new ControllerPages(connection);
    this.#post = new LearningPost(connection);
    this.#announcement = new LearningPost({ ...connection, timeoutMs: EARLY_MS });
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
    const { signal } = this.#options;
    return this.#replyOf(await this.#post.send({ verdict: 'spam', body: Buffer.alloc(0), signal }));
  }

  /**
   * Announces a message of so many bytes, and sends none of it: a proxy that has a limit refuses it at
   * once (tried on nginx 1.22), everybody else waits for it.
   */
  async announce(announcedBytes: number): Promise<Reply> {
    const { signal } = this.#options;
    const message = { verdict: 'spam', body: Buffer.alloc(0), announcedBytes, signal } as const;
    return this.#replyOf(await this.#announcement.send(message));
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
    return this.#replyOf(await this.#pages.get(path, this.#options.signal));
  }

  #replyOf(result: Answer | Fault): Reply {
    const isFault = 'code' in result;
    const meaning = isFault ? classifyFault(result, this) : classifyAnswer(result);
    const reason = isFault ? result.code : `${result.status} ${result.reason}`.trim();
    const proxy = isFault ? undefined : proxyAnswer(result);
    return {
      status: isFault ? undefined : result.status,
      code: isFault ? result.code : undefined,
      reason: this.#presentable(reason),
      text: result.text,
      date: isFault ? undefined : result.date,
      meaning,
      proxy: proxy && { ...proxy, reason: this.#presentable(proxy.reason) },
      isRspamds: !isFault && isRspamds(result),
    };
  }

  #presentable(reason: string): string {
    return presentable(this.#options.password.redact(reason), Buffer.alloc(0));
  }
}

export interface InquiryOptions extends ConnectionOptions {
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
  /** What a proxy in front of rspamd says by itself; fit for a terminal. */
  readonly proxy: ProxyAnswer | undefined;
  /** It bears rspamd's own signs. */
  readonly isRspamds: boolean;
}

/** Nobody waits longer than this for a doctor. */
const PATIENCE_MS = 10_000;
/** What is refused by its head is refused sooner. */
const EARLY_MS = 1_000;
