import { once } from 'node:events';
import { createServer, connect } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Chance } from '../../support/seed.ts';

/**
 * The wire between the daemon and its controller, which can be bad: it refuses, hangs, cuts, and
 * lets a poison message have the effect of one that crashes rspamd's worker. Passes everything else
 * on as it is, whole request by whole request.
 *
 * Owns its port and every connection; disposing ends them.
 */
export type Wire = 'good' | 'refuses' | 'hangs' | 'cuts';

export class SoakProxy implements AsyncDisposable {
  wire: Wire = 'good';
  /** Message-IDs that crash whatever they are sent to, and the names of their files. */
  readonly poison = new Map<string, string>();
  readonly url: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #chance: Chance;

  private constructor(server: Server, chance: Chance) {
    this.#server = server;
    this.#chance = chance;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  /**
   * @param port where the controller listens, on loopback
   * @param chance decides where an answer is cut
   */
  static async start(port: number, chance: Chance): Promise<SoakProxy> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const proxy = new SoakProxy(server, chance);
    server.on('connection', (client) => {
      proxy.#own(client);
      void proxy.#serve(client, port).finally(() => client.destroy());
    });
    return proxy;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await once(this.#server, 'close').catch(() => undefined);
  }

  #own(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
  }

  async #serve(client: Socket, port: number): Promise<void> {
    if (this.wire === 'refuses') {
      client.resetAndDestroy();
      return;
    }
    const request = await wholeRequest(client);
    if (request === undefined) return;
    while (this.wire === 'hangs' && !client.destroyed) await sleep(50);
    if (client.destroyed) return;
    const id = /\r\nMessage-ID: <([^>]+)>/.exec(request.toString('latin1'))?.[1];
    if (id !== undefined && this.poison.has(id)) {
      client.resetAndDestroy();
      return;
    }
    await this.#passOn(client, request, port);
  }

  async #passOn(client: Socket, request: Buffer, port: number): Promise<void> {
    const controller = connect(port, '127.0.0.1');
    this.#own(controller);
    controller.on('error', () => client.resetAndDestroy());
    client.on('close', () => controller.end());
    controller.write(request);
    if (this.wire === 'cuts') {
      const left = this.#chance.below(200);
      controller.once('data', (chunk: Buffer) => {
        client.end(chunk.subarray(0, left));
        controller.destroy();
      });
    } else controller.pipe(client);
    await once(controller, 'close').catch(() => undefined);
    if (!client.destroyed) await once(client, 'close').catch(() => undefined);
  }
}

/** Reads a request, body included; `undefined` when its client gives up. */
function wholeRequest(client: Socket): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    let all = Buffer.alloc(0);
    client.on('close', () => {
      resolve(undefined);
    });
    client.on('data', (chunk: Buffer) => {
      all = Buffer.concat([all, chunk]);
      const end = all.indexOf('\r\n\r\n');
      if (end === -1) return;
      const head = all.toString('latin1', 0, end);
      const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0);
      if (all.length >= end + 4 + length) resolve(all);
    });
  });
}
