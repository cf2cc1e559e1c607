import { createSocket } from 'node:dgram';
import type { Socket as DatagramSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { ownLoopback } from './proxy.ts';

/** What lies below HTTP: a wire that can be laid elsewhere or cut, and a name server. */

export interface End {
  readonly host: string;
  readonly port: number;
}

/** A port whose bytes go to whichever end it is laid to at the moment, and come back. */
export class Wire implements AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** Where it leads from the next connection on. */
  end: End;
  /** It is cut after so many bytes have come back. */
  cutAfter = Infinity;
  connections = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server, host: string, end: End) {
    this.#server = server;
    this.host = host;
    this.port = (server.address() as AddressInfo).port;
    this.end = end;
    server.on('connection', (near) => {
      this.#join(near);
    });
  }

  static async start(end: End): Promise<Wire> {
    const host = ownLoopback();
    const server = createServer();
    server.listen(0, host);
    await once(server, 'listening');
    return new Wire(server, host, end);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #join(near: Socket): void {
    this.connections += 1;
    const far = connect(this.end.port, this.end.host);
    let left = this.cutAfter;
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(from);
      from.on('error', () => undefined);
      from.once('close', () => {
        this.#sockets.delete(from);
        to.destroy();
      });
      from.on('data', (chunk: Buffer) => {
        const part = from === far ? chunk.subarray(0, left) : chunk;
        if (from === far) left -= part.length;
        to.write(part, () => {
          if (left <= 0) near.resetAndDestroy();
        });
      });
      from.once('end', () => to.end());
    }
  }
}

/** What a name server does about a question. */
export type Naming = 'answers' | 'never' | 'late' | 'garbage' | 'fails' | 'knows nothing' | 'empty';

const LATE_MS = 700;
const CODES = { fails: 2, 'knows nothing': 3 } as const;

/** A name server on port 53 of a loopback address of its own: every name is that of one address. */
export class NameServer implements AsyncDisposable {
  readonly host: string;
  naming: Naming = 'answers';
  questions = 0;
  readonly #socket: DatagramSocket;
  readonly #address: string;

  private constructor(socket: DatagramSocket, host: string, address: string) {
    this.#socket = socket;
    this.host = host;
    this.#address = address;
    socket.on('message', (question, { port, address: from }) => {
      this.questions += 1;
      this.#answer(question, (bytes) => {
        socket.send(bytes, port, from, () => undefined);
      });
    });
  }

  static async start(address: string): Promise<NameServer> {
    const host = ownLoopback();
    const socket = createSocket('udp4');
    socket.bind(53, host);
    await once(socket, 'listening');
    return new NameServer(socket, host, address);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#socket.close(() => {
        resolve();
      });
    });
  }

  #answer(question: Buffer, send: (bytes: Buffer) => void): void {
    switch (this.naming) {
      case 'never':
        return;
      case 'late':
        setTimeout(() => {
          send(answerTo(question, this.#address));
        }, LATE_MS).unref();
        return;
      case 'garbage':
        send(Buffer.concat([question.subarray(0, 2), Buffer.alloc(300, 0xff)]));
        return;
      case 'fails':
      case 'knows nothing':
        send(answerTo(question, undefined, CODES[this.naming]));
        return;
      case 'empty':
        send(answerTo(question, undefined));
        return;
      case 'answers':
        send(answerTo(question, this.#address));
        return;
    }
  }
}

/** An answer (RFC 1035) with the address, where that is asked for, or without one. */
function answerTo(question: Buffer, address: string | undefined, code = 0): Buffer {
  const nameEnd = question.indexOf(0, 12) + 1;
  const asked = question.subarray(12, nameEnd + 4);
  const isForAddress = question.readUInt16BE(nameEnd) === 1;
  const head = Buffer.alloc(12);
  question.copy(head, 0, 0, 2);
  head.writeUInt16BE(0x8180 | code, 2);
  head.writeUInt16BE(1, 4);
  if (address === undefined || !isForAddress) return Buffer.concat([head, asked]);
  head.writeUInt16BE(1, 6);
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
  return Buffer.concat([head, asked, record, Buffer.from(address.split('.').map(Number))]);
}
