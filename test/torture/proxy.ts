import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { parseHead, perform } from '../faults/fault-server.ts';
import type { Act, FaultRequest } from '../faults/fault-server.ts';

/**
 * A proxy of bytes between the daemon and a real rspamd. It passes on what it gets, or does harm at
 * a chosen byte, and keeps a record of every connection.
 *
 * Owns its listening socket and every connection on either side; disposing ends them all.
 */

/** Harm done to one exchange, or none. */
export interface Exchange {
  readonly kind: 'exchange';
  /** As many bytes of the request as rspamd gets; it answers when it gets all. */
  readonly hears: (request: Buffer) => number;
  /** What the client gets, given rspamd's answer (empty when it didn't hear all). */
  readonly says: (answer: Buffer) => Act;
}

/** Harm done to a connection while the request still comes in; rspamd hears nothing of it. */
interface Intrusion {
  readonly kind: 'intrusion';
  /** Bytes that are read before. */
  readonly reads: number;
  readonly act: Act;
}

export type Fault = Exchange | Intrusion;

/**
 * Chooses what is done to a connection. It is asked when there is one (`undefined`: wait for the
 * request), and again when its whole request is there.
 */
export type Script = (request: FaultRequest | undefined) => Fault | undefined;

const FAITHFUL: Exchange = {
  kind: 'exchange',
  hears: () => Infinity,
  says: (answer) => ({ pieces: [answer], then: 'end' }),
};

/** Gives an answer that isn't rspamd's, which hears nothing. */
export function insteadOf(act: Act): Exchange {
  return { kind: 'exchange', hears: () => 0, says: () => act };
}

/** One connection, as the proxy saw it. */
export interface Contact {
  request: FaultRequest | undefined;
  /** It is harmed before its request is there. */
  isIntruded: boolean;
  /** The first line of what the client got; empty when it got nothing. */
  said: string;
  /** When the answer was sent or begun, or the client left: on the clock of `performance.now()`. */
  overAt: number | undefined;
}

interface FaultProxyOptions {
  /** The loopback port of the real controller. */
  readonly target: number;
  /** @defaultValue a loopback address of its own */
  readonly host?: string;
  /** Keeps a record of every connection. @defaultValue true */
  readonly records?: boolean;
}

export class FaultProxy implements AsyncDisposable {
  /** Every connection, the oldest first. */
  readonly contacts: Contact[] = [];
  /** A new one counts from the next connection on. */
  script: Script = () => undefined;
  readonly host: string;
  readonly port: number;
  readonly #options: FaultProxyOptions;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;

  private constructor(server: Server, host: string, options: FaultProxyOptions) {
    this.#options = options;
    this.host = host;
    this.port = (server.address() as AddressInfo).port;
    this.#serve(server);
  }

  static async start(options: FaultProxyOptions): Promise<FaultProxy> {
    const { host = ownLoopback() } = options;
    return new FaultProxy(await listen(host, 0), host, options);
  }

  /** A value for RSPAMD_URL. */
  get url(): string {
    return `http://${this.host}:${this.port}`;
  }

  /** Requests to learn, the oldest first. */
  get posts(): readonly Contact[] {
    return this.contacts.filter(({ request }) => request?.method === 'POST');
  }

  /** Connections that are not over. */
  get open(): number {
    return this.contacts.filter(({ overAt }) => overAt === undefined).length;
  }

  /** Nothing listens any more: connections are refused. Cuts those that are there. */
  async refuse(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    const closed = once(server, 'close');
    server.close();
    this.#cutAll();
    await closed;
  }

  /** Listens again, on the same port. */
  async listen(): Promise<void> {
    if (this.#server === undefined) this.#serve(await listen(this.host, this.port));
  }

  #cutAll(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.refuse();
    this.#cutAll();
  }

  #serve(server: Server): void {
    this.#server = server;
    server.on('connection', (raw: Socket) => {
      this.#keep(raw);
      const contact = { request: undefined, isIntruded: false, said: '', overAt: undefined };
      if (this.#options.records !== false) this.contacts.push(contact);
      void this.#attend(contact, raw).catch(() => raw.destroy());
    });
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => this.#sockets.delete(socket));
  }

  async #attend(contact: Contact, socket: Socket): Promise<void> {
    const end = (): void => {
      contact.overAt ??= performance.now();
    };
    socket.once('end', end);
    socket.once('close', end);
    const gone = new Promise<void>((resolve) => socket.once('close', resolve));
    const begin = await beginning(socket, gone);
    socket.resume();
    // A question is known for one from the beginning, whatever becomes of it.
    if (begin.toString('latin1').startsWith('GET ')) contact.request = requestOf(begin);
    // What is asked before a post is passed on: the harm is for posts.
    const isPing = contact.request?.path === '/ping';
    const fault = isPing ? undefined : this.script(undefined);
    if (fault?.kind === 'intrusion') {
      contact.isIntruded = true;
      await readBytes(socket, fault.reads, gone);
      socket.resume(); // or it would not be seen that the client leaves
      await this.#act(contact, socket, fault.act, gone);
      return;
    }
    const bytes = await readRequest(socket);
    if (bytes === undefined) return;
    contact.request = requestOf(bytes);
    const chosen = (isPing ? undefined : this.script(contact.request)) ?? FAITHFUL;
    if (chosen.kind === 'intrusion') {
      await this.#act(contact, socket, chosen.act, gone);
      return;
    }
    const answer = await this.#ask(bytes, chosen.hears(bytes));
    await this.#act(contact, socket, chosen.says(answer), gone);
  }

  async #act(contact: Contact, socket: Socket, act: Act, gone: Promise<void>): Promise<void> {
    // what a client that has left was never told
    if (contact.overAt === undefined) contact.said = firstLine(act);
    // that the client has left in the middle of a flood would be seen late
    if (act.then !== 'stay' && act.everyMs === undefined) contact.overAt ??= performance.now();
    await perform(socket, act, gone);
    if (act.then === 'crash') this.#cutAll();
    contact.overAt ??= performance.now();
  }

  /** Gives rspamd the first `length` bytes of a request, and its answer back if those were all. */
  async #ask(request: Buffer, length: number): Promise<Buffer> {
    const part = request.subarray(0, length);
    if (part.length === 0) return Buffer.alloc(0);
    const upstream = connect(this.#options.target, '127.0.0.1');
    this.#keep(upstream);
    const chunks: Buffer[] = [];
    upstream.on('data', (chunk: Buffer) => chunks.push(chunk));
    const closed = new Promise<void>((resolve) => upstream.once('close', resolve));
    upstream.write(part, () => {
      if (part.length < request.length) upstream.resetAndDestroy();
    });
    await closed;
    return part.length < request.length ? Buffer.alloc(0) : Buffer.concat(chunks);
  }
}

let addresses = 0;

/**
 * A loopback address that nobody else is likely to use: what listens there can close its port and
 * have it again later.
 */
export function ownLoopback(): string {
  addresses += 1;
  const own = (process.pid * 64 + addresses) % 0xff_fffe;
  return `127.${(own >> 16) | 1}.${(own >> 8) & 0xff}.${(own & 0xff) | 2}`;
}

async function listen(host: string, port: number): Promise<Server> {
  const server = createServer();
  server.listen(port, host);
  await once(server, 'listening');
  return server;
}

function firstLine({ pieces }: Act): string {
  for (const piece of pieces) return piece.toString('latin1').split('\r\n', 1)[0] ?? '';
  return '';
}

/** What comes first, which the socket gives once more. */
async function beginning(socket: Socket, gone: Promise<void>): Promise<Buffer> {
  const first = new Promise<Buffer>((resolve) => {
    socket.once('data', (chunk: Buffer) => {
      socket.pause();
      socket.unshift(chunk);
      resolve(chunk);
    });
  });
  return (await Promise.race([first, gone])) ?? Buffer.alloc(0);
}

/** Reads until so many bytes have come, and throws them away. */
async function readBytes(socket: Socket, count: number, gone: Promise<void>): Promise<void> {
  if (count === 0) return;
  let length = 0;
  const enough = new Promise<void>((resolve) => {
    socket.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length >= count) resolve();
    });
  });
  await Promise.race([enough, gone]);
}

/** Reads a whole request, byte for byte; `undefined` when the client leaves first. */
function readRequest(socket: Socket): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  let wanted = Infinity;
  return new Promise((resolve) => {
    socket.once('close', () => resolve(undefined));
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      length += chunk.length;
      if (wanted === Infinity) {
        const received = Buffer.concat(chunks);
        const end = received.indexOf('\r\n\r\n');
        if (end === -1) return;
        const { headers } = parseHead(received.toString('latin1', 0, end));
        wanted = end + 4 + Number(headers['content-length'] ?? 0);
      }
      if (length >= wanted) resolve(Buffer.concat(chunks));
    });
  });
}

function requestOf(bytes: Buffer): FaultRequest {
  const end = bytes.indexOf('\r\n\r\n');
  const head = bytes.toString('latin1', 0, end);
  return { ...parseHead(head), head, body: bytes.subarray(end + 4) };
}
