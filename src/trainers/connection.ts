import type { Got } from 'got';
import { Agent } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import type { ControllerAddress, RspamdConfig } from '../config.ts';
import { codeOf } from '../errors.ts';
import type { Secret } from '../secret.ts';

/**
 * A connection to one controller: whom we talk to, as whom, what is kept of an answer, and the
 * questions (`/ping`, `/stat`, `/history`), by got. The learning post, which is made twice for each
 * message, is beside it (`learning-post.ts`). HTTP errors end in these two files: got's carry the
 * password header.
 */
export interface ConnectionOptions extends Omit<RspamdConfig, 'controllers' | 'fuzzy'> {
  readonly controller: ControllerAddress;
  /** Milliseconds for one whole request; the only thing that stops an answer that drips. */
  readonly timeoutMs: number;
}

/** An answer whose status line was understood. */
export interface Answer {
  readonly status: number;
  /** The reason phrase. */
  readonly reason: string;
  /** The body, as much of it as was read; nothing of a learning post's that is a success. */
  readonly text: string;
  readonly headers: Readonly<IncomingHttpHeaders>;
}

/** What came instead of an answer. */
export interface Fault {
  /** The system's, Node's or got's error code. */
  readonly code: string;
}

/** As much of an answer's body as is read. */
export const MAX_ANSWER_BYTES = 65_536;

/** The headers of every request. */
export function requestHeaders(password: Secret): Record<string, string> {
  const header = password.header();
  return { 'user-agent': 'kopano-learnd', ...(header === undefined ? {} : { password: header }) };
}

export class ControllerPages {
  readonly #options: ConnectionOptions;
  #client: Promise<Got> | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  /** Loaded with the first question: it takes as long as all the rest of the daemon's start. */
  async #load(): Promise<Got> {
    const { controller, timeoutMs, ca } = this.#options;
    const { socketPath } = controller;
    const { got } = await import('got');
    return got.extend({
      prefixUrl: controller.url,
      retry: { limit: 0 },
      // got would send the password along to any host that it is pointed to.
      followRedirect: false,
      throwHttpErrors: false,
      decompress: false,
      timeout: { request: timeoutMs },
      ...(socketPath && { agent: { http: new Agent({ socketPath } as object) } }),
      ...(ca !== undefined && { https: { certificateAuthority: ca } }),
    });
  }

  /**
   * Asks for one page. Never rejects; a redirect is an answer, and is not followed.
   * @param path below the controller's URL
   */
  async get(path: string, signal: AbortSignal): Promise<Answer | Fault> {
    this.#client ??= this.#load();
    const request = (await this.#client).stream.get(path, {
      headers: requestHeaders(this.#options.password),
      signal,
    });
    let text = '';
    let fault: Fault | undefined;
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) {
        text += chunk.toString('latin1');
        if (text.length >= MAX_ANSWER_BYTES) break;
      }
    } catch (error) {
      fault = { code: codeOf(error) ?? 'UNKNOWN' };
    } finally {
      // Else it would listen to the signal for ever, and throw when that comes.
      request.destroy();
    }
    const { response } = request;
    if (response === undefined) return fault ?? { code: 'UNKNOWN' };
    const { statusCode: status, statusMessage: reason = '', headers } = response;
    return { status, reason, text: text.slice(0, MAX_ANSWER_BYTES), headers };
  }
}
