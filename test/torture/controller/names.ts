import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { once } from 'node:events';
import { ownLoopback } from '../proxy.ts';

/** What a name server does about a question. */
export type Naming = 'answers' | 'never' | 'late' | 'garbage' | 'fails' | 'knows nothing' | 'empty';

const LATE_MS = 700;
const CODES: Partial<Record<Naming, number>> = { fails: 2, 'knows nothing': 3 };

/** A name server on port 53 of a loopback address of its own: every name is that of one address. */
export class NameServer implements AsyncDisposable {
  readonly host: string;
  naming: Naming = 'answers';
  questions = 0;
  readonly #socket: Socket;

  private constructor(socket: Socket, host: string, address: string) {
    this.#socket = socket;
    this.host = host;
    socket.on('message', (question, { port, address: from }) => {
      this.questions += 1;
      if (this.naming === 'never') return;
      const answer = answerTo(question, address, this.naming);
      setTimeout(
        () => socket.send(answer, port, from, () => undefined),
        this.naming === 'late' ? LATE_MS : 0,
      ).unref();
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
    const closed = once(this.#socket, 'close');
    this.#socket.close();
    await closed;
  }
}

/** An answer (RFC 1035), with the address where that is asked for and told. */
function answerTo(question: Buffer, address: string, naming: Naming): Buffer {
  if (naming === 'garbage') {
    return Buffer.concat([question.subarray(0, 2), Buffer.alloc(300, 0xff)]);
  }
  const nameEnd = question.indexOf(0, 12) + 1;
  const asked = question.subarray(12, nameEnd + 4);
  const isTold = naming === 'answers' || naming === 'late';
  const isForAddress = isTold && question.readUInt16BE(nameEnd) === 1;
  const head = Buffer.alloc(12);
  question.copy(head, 0, 0, 2);
  head.writeUInt16BE(0x8180 | (CODES[naming] ?? 0), 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(isForAddress ? 1 : 0, 6);
  if (!isForAddress) return Buffer.concat([head, asked]);
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
  return Buffer.concat([head, asked, record, Buffer.from(address.split('.').map(Number))]);
}
