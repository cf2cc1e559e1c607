import { createServer } from 'node:http';
import type { Server, ServerResponse } from 'node:http';
import type { Bugs } from '../bugs.ts';

/** Pages over HTTP: GET and HEAD, one answer a connection. */
export interface Page {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  /** What a browser may load for it. @defaultValue nothing */
  readonly mayLoad?: string;
}

/** Nobody is trusted to be quick or brief. */
const LIMITS = {
  maxHeaderSize: 8_192,
  headersTimeout: 5_000,
  requestTimeout: 5_000,
  connectionsCheckingInterval: 1_000,
};

export function json(status: number, content: unknown): Page {
  return { status, type: 'application/json; charset=utf-8', body: `${JSON.stringify(content)}\n` };
}

function plain(status: number, text: string): Page {
  return { status, type: 'text/plain; charset=utf-8', body: `${text}\n` };
}

/** @param pageAt the page of a path; `undefined` where there is none */
export function createPageServer(
  bugs: Bugs,
  pageAt: (path: string) => Promise<Page | undefined>,
): Server {
  const answer = async (url: string, method: string, response: ServerResponse): Promise<void> => {
    const [path = ''] = url.split('?', 1);
    try {
      const isAllowed = method === 'GET' || method === 'HEAD';
      const page = isAllowed ? await pageAt(path) : plain(405, 'only GET and HEAD');
      const { status, type, body, mayLoad } = page ?? plain(404, 'not found');
      response.writeHead(status, {
        ...headers(mayLoad),
        'content-type': type,
        'content-length': Buffer.byteLength(body),
        connection: 'close',
      });
      response.end(body);
    } catch (error) {
      // Whoever asks can do nothing about it.
      bugs.report(error, `the page ${path}`);
      response.writeHead(500).end('internal error\n');
    }
  };
  return createServer(LIMITS, ({ url = '', method = '' }, response) => {
    void answer(url, method, response);
  });
}

/** Closes the port and every connection. */
export async function closeServer(server: Server | undefined): Promise<void> {
  if (server?.listening !== true) return;
  await new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  });
}

/** For browsers: a page is of this moment, and nothing but what it is said to be. */
function headers(mayLoad = '') {
  const policy = ["default-src 'none'", mayLoad, ...NOWHERE].filter((each) => each !== '');
  return {
    'content-security-policy': policy.join('; '),
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cache-control': 'no-store',
  };
}

const NOWHERE = ["frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"];
