import got from 'got';
import type { ExtendOptions, Got } from 'got';
import { Agent } from 'node:http';
import type { Answer, Fault } from './connection.ts';
import { MAX_ANSWER_BYTES, answerOf, faultOf, requestHeaders } from './connection.ts';
import type { ConnectionOptions } from './connection.ts';

/**
 * What a controller shows without learning anything: `/ping`, `/stat`, `/history`. By got, as every
 * request but the learning post (`learning-post.ts`). With that the only place that speaks HTTP to
 * rspamd, and where HTTP errors end: got's carry the password header.
 */
export class ControllerPages {
  readonly #options: ConnectionOptions;
  readonly #client: Got;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#client = got.extend(clientOptions(options));
  }

  /**
   * Asks for one page, with its body, as much as is read of any. Never rejects; a redirect is an
   * answer, and is not followed.
   * @param path below the controller's URL
   */
  async get(path: string, signal: AbortSignal): Promise<Answer | Fault> {
    const headers = requestHeaders(this.#options.password);
    const request = this.#client.stream.get(path, { headers, signal });
    let text = '';
    let fault: Fault | undefined;
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) {
        text += chunk.toString('latin1');
        if (text.length >= MAX_ANSWER_BYTES) break;
      }
    } catch (error) {
      fault = faultOf(error);
    } finally {
      // Else it would listen to the signal for ever, and throw when that comes.
      request.destroy();
    }
    const { response } = request;
    if (response === undefined) return fault ?? { code: 'UNKNOWN', text: '' };
    return { ...answerOf(response), text: text.slice(0, MAX_ANSWER_BYTES) };
  }
}

function clientOptions({ controller, timeoutMs, ca }: ConnectionOptions): ExtendOptions {
  return {
    prefixUrl: controller.url,
    retry: { limit: 0 },
    // got would send the password along to any host that it is pointed to.
    followRedirect: false,
    throwHttpErrors: false,
    decompress: false,
    timeout: { request: timeoutMs },
    ...(controller.socketPath === undefined
      ? {}
      : { agent: { http: new Agent({ socketPath: controller.socketPath } as object) } }),
    ...(ca === undefined ? {} : { https: { certificateAuthority: ca } }),
  };
}
