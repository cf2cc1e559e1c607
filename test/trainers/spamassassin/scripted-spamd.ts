import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/**
 * A listener that says what a script tells it to, byte for byte, where the real spamd doesn't on
 * demand; else it does as spamd does with a Bayes that works.
 *
 * Owns its socket and every connection; they end with the test.
 */

/** A request as it came. */
export interface TellRequest {
  /** The request line and the headers, without the blank line (latin1). */
  readonly head: string;
  readonly body: Buffer;
  /** The client closed its end. */
  readonly isHalfClosed: boolean;
}

export interface Act {
  readonly says: string;
  /** What becomes of the connection then. @defaultValue `end` */
  readonly then?: 'end' | 'reset' | 'stay';
}

/** `undefined`: as spamd does. */
export type Play = (request: TellRequest, number: number) => Act | undefined;

export const OK: Act = { says: 'SPAMD/1.1 0 EX_OK\r\n\r\n\r\n' };
export const DID_SET: Act = { says: 'SPAMD/1.1 0 EX_OK\r\nDidSet: local\r\n\r\n\r\n' };
export const DID_REMOVE: Act = { says: 'SPAMD/1.1 0 EX_OK\r\nDidRemove: local\r\n\r\n\r\n' };
export const CLOSES: Act = { says: '' };
export const RESETS: Act = { says: '', then: 'reset' };
export const SILENCE: Act = { says: '', then: 'stay' };

export class ScriptedSpamd {
  readonly requests: TellRequest[] = [];
  readonly port: number;
  play: Play;
  /** Class by body, as bayes_seen has it. */
  readonly seen = new Map<string, string>();
  /** Those that are open, the oldest first. */
  readonly sockets: Socket[] = [];
  /** Most that were open at a time. */
  most = 0;

  private constructor(server: Server, play: Play) {
    this.port = (server.address() as AddressInfo).port;
    this.play = play;
    server.on('connection', (socket: Socket) => this.#take(socket));
  }

  static async start(play: Play = () => undefined): Promise<ScriptedSpamd> {
    const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const spamd = new ScriptedSpamd(server, play);
    onTestFinished(() => {
      server.close();
      for (const socket of spamd.sockets) socket.destroy();
    });
    return spamd;
  }

  /** What was asked, in short: `probe`, `set spam`, `remove`; those of a canary with a `~`. */
  get told(): string[] {
    return this.requests.map(({ head, body }) => {
      const told = /\r\nSet: /.test(head) ? `set ${wordOf(head, 'Message-class')}` : 'remove';
      if (body.length === 0 && !/\r\n(Set|Remove): /.test(head)) return 'probe';
      return `${isCanary(body) ? '~' : ''}${told}`;
    });
  }

  #take(socket: Socket): void {
    const chunks: Buffer[] = [];
    this.sockets.push(socket);
    this.most = Math.max(this.most, this.sockets.length);
    socket.on('error', () => undefined);
    socket.on('close', () => this.sockets.splice(this.sockets.indexOf(socket), 1));
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('end', () => {
      const received = Buffer.concat(chunks);
      const end = received.indexOf('\r\n\r\n');
      const request: TellRequest = {
        head: received.toString('latin1', 0, end),
        body: received.subarray(end + 4),
        isHalfClosed: true,
      };
      this.requests.push(request);
      const { says, then = 'end' } =
        this.play(request, this.requests.length) ?? this.#asSpamd(request);
      socket.write(says, () => {
        if (then === 'reset') socket.resetAndDestroy();
      });
      if (then === 'end') socket.end();
    });
  }

  #asSpamd({ head, body }: TellRequest): Act {
    const key = body.toString('latin1');
    if (/\r\nRemove: local/.test(head)) return this.seen.delete(key) ? DID_REMOVE : OK;
    if (!/\r\nSet: local/.test(head)) return OK;
    const verdict = wordOf(head, 'Message-class');
    if (this.seen.get(key) === verdict) return OK;
    this.seen.set(key, verdict);
    return DID_SET;
  }
}

export function isCanary(body: Buffer): boolean {
  return body.includes('canary@learnd.invalid');
}

/** Acts so at messages, and as spamd does at the rest. */
export function atMessages(act: (request: TellRequest, number: number) => Act | undefined): Play {
  let number = 0;
  return (request) => {
    if (request.body.length === 0 || isCanary(request.body)) return undefined;
    number += 1;
    return act(request, number);
  };
}

/** Acts in turn, one act a message's TELL; the last one goes on. */
export function inTurn(...acts: readonly (Act | undefined)[]): Play {
  return atMessages((_request, number) => acts[Math.min(number, acts.length) - 1]);
}

function wordOf(head: string, name: string): string {
  return new RegExp(`\\r\\n${name}: ([^\\r]*)`).exec(head)?.[1] ?? '';
}
