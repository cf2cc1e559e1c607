import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Bugs } from '../bugs.ts';
import type { Clock, Timer } from '../clock.ts';
import { errnoOf } from '../errors.ts';
import { addressText } from '../config.ts';
import type { ListenAddress } from '../config.ts';
import { LogThrottle } from '../logger.ts';
import type { Log } from '../logger.ts';

/**
 * The status server: four pages for GET and HEAD, one answer a connection. Nobody is trusted to be
 * quick or brief, and a port that is taken costs the pages and nothing else: it is asked for again.
 *
 * It listens from `start` to `stop`; in between it may be waiting for its port.
 */

/** A page: what to answer with. */
export interface Page {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

export interface StatusServerOptions {
  readonly listen: ListenAddress;
  readonly clock: Clock;
  readonly log: Log;
  readonly bugs: Bugs;
  /** What lies at which path, such as `/healthz`. Rejects only by a fault of this program. */
  readonly pages: Readonly<Record<string, () => Promise<Page>>>;
}

/** How often a port that is taken is asked for. */
export const PORT_RETRY_MS = 5_000;
/** A request has to be here by then, its headers included. */
const REQUEST_MS = 5_000;
/** From the first byte to the last of ours. */
const CONNECTION_MS = 15_000;
const MAX_CONNECTIONS = 64;
const MAX_REQUEST_HEAD_BYTES = 8_192;

export class StatusServer {
  readonly #options: StatusServerOptions;
  readonly #throttle: LogThrottle;
  #server: Server | undefined;
  #retry: Timer | undefined;
  #isStopped = false;

  constructor(options: StatusServerOptions) {
    this.#options = options;
    this.#throttle = new LogThrottle(options.clock);
  }

  /** Listens, now or as soon as it may. */
  start(): void {
    if (this.#isStopped) return;
    const options = this.#options;
    const { host, port } = options.listen;
    const server = createServer(
      {
        maxHeaderSize: MAX_REQUEST_HEAD_BYTES,
        headersTimeout: REQUEST_MS,
        requestTimeout: REQUEST_MS,
        connectionsCheckingInterval: 1_000,
      },
      (request, response) => {
        this.#answer(request, response).catch((error: unknown) => {
          options.bugs.report(error, 'an answer of the status server');
          response.destroy();
        });
      },
    );
    server.maxConnections = MAX_CONNECTIONS;
    // Node.js reads and parses what is sent after the first request all the same: it gets no page.
    server.maxRequestsPerSocket = 1;
    server.setTimeout(CONNECTION_MS);
    server.on('error', (error) => {
      this.#failed(error);
    });
    server.once('listening', () => {
      this.#listens(server);
    });
    this.#server = server;
    server.listen({ host, port });
  }

  /** The port that it listens on; `undefined` while it doesn't. */
  get port(): number | undefined {
    return boundAddress(this.#server)?.port;
  }

  /** Closes the port and every connection. Idempotent. */
  stop(): Promise<void> {
    this.#isStopped = true;
    this.#retry?.cancel();
    const server = this.#server;
    if (server?.listening !== true) return Promise.resolve();
    return new Promise((resolve) => {
      server.close(() => {
        resolve();
      });
      server.closeAllConnections();
    });
  }

  #listens(server: Server): void {
    const { log } = this.#options;
    if (this.#isStopped) {
      server.close();
      return;
    }
    const port = boundAddress(server)?.port ?? 0;
    this.#throttle.forget('listen');
    log('info', 'status.listening', `the status is shown at ${this.#place(port)}`, { port });
  }

  #failed(error: Error): void {
    const { clock, log, listen } = this.#options;
    const server = this.#server;
    // A connection that can't be accepted (EMFILE) leaves it listening.
    if (server?.listening === true || this.#isStopped) return;
    this.#retry?.cancel();
    this.#retry = clock.after(PORT_RETRY_MS, () => {
      this.start();
    });
    const code = errnoOf(error);
    if (code === undefined) {
      this.#options.bugs.report(error, 'the status server');
      return;
    }
    if (!this.#throttle.allows('listen', code)) return;
    const cure = PORT_CURES[code] ?? 'set STATUS_LISTEN to an address of this machine, or to off';
    log(
      'warning',
      'status.unavailable',
      `the status can't be shown at ${this.#place(listen.port)} (${code}); learning goes on; ${cure}`,
      { host: listen.host, port: listen.port, code, cure, retrySeconds: PORT_RETRY_MS / 1000 },
    );
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // One answer a connection: nobody keeps one for later.
    response.setHeader('connection', 'close');
    response.setHeader('cache-control', 'no-store');
    response.setHeader('x-content-type-options', 'nosniff');
    const page = await this.#page(request, response);
    if (response.destroyed) return;
    response.writeHead(page.status, {
      'content-type': page.type,
      'content-length': Buffer.byteLength(page.body),
    });
    response.end(request.method === 'HEAD' ? '' : page.body);
  }

  async #page(request: IncomingMessage, response: ServerResponse): Promise<Page> {
    const [path = ''] = (request.url ?? '').split('?', 1);
    const page = this.#options.pages[path];
    if (page === undefined) return plain(404, 'not found');
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD');
      return plain(405, 'only GET and HEAD');
    }
    try {
      return await page();
    } catch (error) {
      // Whoever asks can do nothing about it.
      this.#options.bugs.report(error, `the page ${path}`);
      return plain(500, 'internal error');
    }
  }

  #place(port: number): string {
    return `http://${addressText({ host: this.#options.listen.host, port })}`;
  }
}

export function json(status: number, content: unknown): Page {
  return { status, type: 'application/json; charset=utf-8', body: `${JSON.stringify(content)}\n` };
}

function plain(status: number, text: string): Page {
  return { status, type: 'text/plain; charset=utf-8', body: `${text}\n` };
}

function boundAddress(server: Server | undefined): AddressInfo | undefined {
  const address = server?.address();
  return typeof address === 'object' && address !== null ? address : undefined;
}

const PORT_CURES: Readonly<Record<string, string>> = {
  EADDRINUSE:
    'another program has the port: end it, or set STATUS_LISTEN to another port or to off',
  EACCES: "the daemon's user may not listen there: set STATUS_LISTEN to a port above 1023",
};
