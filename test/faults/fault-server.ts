import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { PONG } from './plays.ts';

/**
 * A server that sends bytes, nothing more: no HTTP library decides what can be said. It takes each
 * request apart itself, keeps it, and asks a script what to do about it.
 *
 * Owns its listening socket and every connection; disposing ends them all.
 */
export interface FaultServerOptions {
  readonly play: Play;
  /** Asked first, when the head is there and the body isn't; `undefined` waits for the body. */
  readonly early?: (request: FaultRequest) => Act | undefined;
  /** Leaves `/ping` to the script, too; else it is answered as rspamd does, and not kept. */
  readonly playsPing?: boolean;
  /** Listens on this Unix socket instead of a free loopback port. */
  readonly socketPath?: string;
  /** Speaks TLS with this key and certificate (PEM). */
  readonly tls?: { readonly key: string; readonly cert: string };
}

/** A request as it came. */
export interface FaultRequest {
  /** When its head was complete: milliseconds on the clock of `performance.now()`. */
  readonly at: number;
  readonly method: string;
  readonly path: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** The request line and the headers, byte for byte (latin1). */
  readonly head: string;
  /** Empty when the server acted early. */
  readonly body: Buffer;
}

/** What a script says about a request. */
export type Play = (request: FaultRequest) => Act;

/** What the server does about one request. */
export interface Act {
  /** What is sent, piece by piece. It may be endless: it is read as fast as the client reads. */
  readonly pieces: Iterable<string | Buffer>;
  /** Wait before each piece, in milliseconds. @defaultValue 0: all at once */
  readonly everyMs?: number;
  /**
   * What becomes of the connection then: `stay` leaves it open for as long as the client does,
   * `crash` takes every other connection with it.
   */
  readonly then: 'end' | 'reset' | 'stay' | 'crash';
}

export class FaultServer implements AsyncDisposable {
  /** Every request, the oldest first. */
  readonly requests: FaultRequest[] = [];
  /** Where it listens, as a value for RSPAMD_URL. */
  readonly url: string;
  /** The script; a new one counts from the next request on. */
  play: Play;
  readonly #early: NonNullable<FaultServerOptions['early']>;
  readonly #playsPing: boolean;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #open = new Set<Socket>();
  #connections = 0;
  #bytesSent = 0;

  private constructor(server: Server, url: string, options: FaultServerOptions) {
    this.#server = server;
    this.url = url;
    this.play = options.play;
    this.#early = options.early ?? (() => undefined);
    this.#playsPing = options.playsPing ?? false;
  }

  static async start(options: FaultServerOptions): Promise<FaultServer> {
    const { tls, socketPath } = options;
    const server = tls === undefined ? createServer() : createTlsServer(tls);
    if (socketPath === undefined) server.listen(0, '127.0.0.1');
    else server.listen(socketPath);
    await once(server, 'listening');
    const scheme = tls === undefined ? 'http' : 'https';
    const url =
      socketPath === undefined
        ? `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`
        : `unix:${socketPath}`;
    const faultServer = new FaultServer(server, url, options);
    server.on('connection', (socket: Socket) => {
      faultServer.#connections += 1;
      faultServer.#keep(socket);
      if (tls === undefined) faultServer.#listenTo(socket);
    });
    server.on('secureConnection', (socket: Socket) => {
      faultServer.#keep(socket);
      faultServer.#listenTo(socket);
    });
    return faultServer;
  }

  /** Requests to learn, the oldest first. */
  get posts(): readonly FaultRequest[] {
    return this.requests.filter(({ method }) => method === 'POST');
  }

  /** Connections that were made, whatever was said on them. */
  get connections(): number {
    return this.#connections;
  }

  /** Connections that are there at this moment. */
  get connected(): number {
    return this.#sockets.size;
  }

  /** Requests that are unanswered at this moment and whose client is still there. */
  get open(): number {
    return this.#open.size;
  }

  /** Bytes of answers that the kernel took. */
  get bytesSent(): number {
    return this.#bytesSent;
  }

  /** Forgets the requests so far. */
  forget(): void {
    this.requests.length = 0;
  }

  /** Stops listening and cuts every connection: from now on they are refused. Idempotent. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined); // a client that resets is a client like any other
    socket.once('close', () => this.#sockets.delete(socket));
  }

  /** Reads one request; every answer closes the connection, as rspamd's do. */
  #listenTo(socket: Socket): void {
    const gone = new Promise<void>((resolve) => {
      socket.once('close', () => {
        this.#open.delete(socket);
        resolve();
      });
    });
    const chunks: Buffer[] = [];
    let length = 0;
    let head: FaultRequest | undefined;
    let acts = false;
    let isOwn = false;
    const act = (request: FaultRequest, what: Act): void => {
      acts = true;
      if (!isOwn) this.requests.push(request);
      void this.#act(socket, what, gone).finally(() => this.#open.delete(socket));
    };
    socket.on('data', (chunk: Buffer) => {
      if (acts) return; // thrown away
      chunks.push(chunk);
      length += chunk.length;
      if (head === undefined) {
        const received = Buffer.concat(chunks);
        if (received[0] === TLS_HANDSHAKE) {
          socket.end(NO_METHOD);
          return;
        }
        const end = received.indexOf('\r\n\r\n');
        if (end === -1) return;
        head = parseHead(received.toString('latin1', 0, end));
        chunks.splice(0, chunks.length, received.subarray(end + 4));
        length -= end + 4;
        this.#open.add(socket);
        isOwn = !this.#playsPing && head.path.endsWith('/ping');
        const early = isOwn ? PONG : this.#early(head);
        if (early !== undefined) {
          act(head, early);
          return;
        }
      }
      if (length < Number(head.headers['content-length'] ?? 0)) return;
      const request = { ...head, body: Buffer.concat(chunks) };
      act(request, this.play(request));
    });
  }

  async #act(socket: Socket, act: Act, gone: Promise<void>): Promise<void> {
    await perform(socket, act, gone, (bytes) => (this.#bytesSent += bytes));
    if (act.then === 'crash') for (const each of this.#sockets) each.destroy();
  }
}

/**
 * Acts on a connection; that a crash takes all of them is left to the caller.
 * @param gone resolves when the client has left
 * @param onSent hears of the bytes that the kernel takes
 */
export async function perform(
  socket: Socket,
  { pieces, everyMs = 0, then }: Act,
  gone: Promise<void>,
  onSent: (bytes: number) => void = () => undefined,
): Promise<void> {
  for (const piece of pieces) {
    if (everyMs > 0) await Promise.race([passed(everyMs), gone]);
    if (socket.destroyed) return;
    const bytes = typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece;
    onSent(bytes.length);
    if (socket.write(bytes)) continue;
    const drained = new Promise((resolve) => socket.once('drain', resolve));
    await Promise.race([drained, gone]);
  }
  switch (then) {
    case 'end':
      socket.end();
      break;
    case 'reset':
      socket.resetAndDestroy();
      break;
    case 'stay':
      await gone;
      break;
    case 'crash':
      break;
  }
}

/** The first byte of a client that speaks TLS to a port that doesn't. */
const TLS_HANDSHAKE = 0x16;
/** What rspamd 3.4 says to it. */
const NO_METHOD =
  'HTTP/1.1 400 Undefined Error\r\nConnection: close\r\nServer: rspamd/3.4\r\n' +
  'Content-Length: 38\r\nContent-Type: text/plain\r\n\r\nHTTP parser error: invalid HTTP method';

/** Takes the request line and the headers apart. */
export function parseHead(head: string): FaultRequest {
  const [requestLine = '', ...lines] = head.split('\r\n');
  const [method = '', path = ''] = requestLine.split(' ');
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  return { at: performance.now(), method, path, headers, head, body: Buffer.alloc(0) };
}

function passed(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
