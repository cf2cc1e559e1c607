import type { Got } from 'got';
import { Agent } from 'node:http';
import { connect, isIP } from 'node:net';
import type { Socket } from 'node:net';
import { connect as connectTls, createSecureContext } from 'node:tls';
import type { ControllerAddress, RspamdConfig } from '../config.ts';
import { codeOf } from '../errors.ts';
import { AnswerReader, MAX_ANSWER_BYTES } from './answer-reader.ts';
import type { Answer, Fault } from './answer-reader.ts';

/**
 * How one controller is spoken to: pages are asked for by got, messages are posted by a socket. HTTP
 * errors end here: got's carry the password header.
 *
 * A post is one connection, one write, one answer. Two of these go with every message, and here the cost
 * decides, of got and of node:http as well; the post that asks for an opinion, of which an evaluation
 * makes as many, goes the same way. rspamd closes every connection after its answer, so that there is
 * nothing to keep.
 *
 * Measured on loopback with bodies of 2.5 KB, 8 in flight, over 2,000 and 8,000 posts: node:http 0.50
 * and 0.25 ms CPU a post, a socket 0.24 and 0.14 ms (Node.js 20). got.stream takes 0.65 ms.
 */
export interface ConnectionOptions extends Omit<RspamdConfig, 'controllers' | 'fuzzy'> {
  readonly controller: ControllerAddress;
  /** Milliseconds for one whole request; the only thing that stops an answer that drips. */
  readonly timeoutMs: number;
}

type Headers = Readonly<Record<string, string>>;
/** Takes what came, as Latin-1. */
type OnBytes = (bytes: string) => void;

/** One for all sockets: what came for one is taken out before another one is read from. */
const ARRIVED = Buffer.allocUnsafeSlow(65_536);
const ABORTED = 'ABORT_ERR';

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #url: URL;
  readonly #connect: (onBytes: OnBytes) => Socket;
  #client: Promise<Got> | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#url = new URL(options.controller.url);
    this.#connect = connector(this.#url, options);
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
      // No connection goes twice: what a proxy keeps open it may close just when that is sent to.
      agent: { http: socketPath ? new Agent({ socketPath } as object) : false, https: false },
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
      headers: this.#headers(),
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

  /**
   * Posts one message. Never rejects; redirects are answers, and are not followed.
   * @param path below the controller's URL
   * @param successBytes as much as is read of the body of a success
   */
  post(
    path: string,
    body: Buffer,
    signal: AbortSignal,
    headers: Headers = {},
    successBytes = 0,
  ): Promise<Answer | Fault> {
    if (signal.aborted) return Promise.resolve({ code: ABORTED });
    const head = this.#headOf(path, body, headers);
    return new Promise((resolve) => {
      const reader = new AnswerReader(successBytes);
      const settle = (code: string): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', abort);
        resolve(reader.end(code));
        socket.destroy();
      };
      const abort = (): void => settle(ABORTED);
      const timer = setTimeout(settle, this.#options.timeoutMs, 'ETIMEDOUT');
      signal.addEventListener('abort', abort);
      const socket = this.#connect((bytes) => {
        if (reader.take(bytes)) settle('');
      });
      socket.on('error', (error) => settle(codeOf(error) ?? 'UNKNOWN'));
      // Who has said all may go on taking what comes, or not even that.
      for (const end of ['end', 'close'] as const) {
        socket.on(end, () => settle('ECONNRESET'));
      }
      // Not before it is known who is there.
      socket.on(this.#url.protocol === 'https:' ? 'secureConnect' : 'connect', () => {
        socket.cork();
        socket.write(head, 'latin1');
        socket.write(body);
        socket.uncork();
      });
    });
  }

  #headOf(path: string, body: Buffer, headers: Headers): string {
    const { host, pathname } = this.#url;
    const all = {
      host,
      ...this.#headers(),
      ...headers,
      'content-length': String(body.length),
      connection: 'close',
    };
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
    return `POST ${pathname}${path} HTTP/1.1\r\n${lines.join('')}\r\n`;
  }

  /** Of every request. */
  #headers(): Headers {
    const password = this.#options.password.header();
    return { 'user-agent': 'kopano-learnd', ...(password !== undefined && { password }) };
  }
}

/** Makes connections to a controller: by TCP, a Unix socket or TLS. */
function connector(url: URL, { controller, ca }: ConnectionOptions): (onBytes: OnBytes) => Socket {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const { socketPath } = controller;
  if (url.protocol !== 'https:') {
    const to =
      socketPath === undefined ? { host, port: Number(url.port || 80) } : { path: socketPath };
    return (onBytes) => {
      const callback = (length: number): boolean => {
        onBytes(ARRIVED.toString('latin1', 0, length));
        return true;
      };
      return connect({ ...to, noDelay: true, onread: { buffer: ARRIVED, callback } });
    };
  }
  const to = { host, port: Number(url.port || 443), servername: isIP(host) === 0 ? host : '' };
  const secureContext = createSecureContext({ ca });
  let session: Buffer | undefined;
  return (onBytes) => {
    const socket = connectTls({ ...to, secureContext, session });
    socket.setNoDelay();
    socket.on('data', (bytes: Buffer) => onBytes(bytes.toString('latin1')));
    socket.on('session', (next: Buffer) => {
      session = next;
    });
    socket.on('error', () => {
      session = undefined;
    });
    return socket;
  };
}
