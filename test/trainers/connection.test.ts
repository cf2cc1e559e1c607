import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { Secret } from '../../src/secret.ts';
import { Connection } from '../../src/trainers/connection.ts';
import { PATIENCE_MS, controllerAt } from './connect.ts';

/** More than all the buffers between two sockets hold. */
const LARGE = Buffer.alloc(32 << 20, 'x');

function connectionTo(server: Server): Connection {
  const { port } = server.address() as AddressInfo;
  return new Connection({
    controller: controllerAt(`http://127.0.0.1:${port}`),
    password: Secret.none,
    timeoutMs: PATIENCE_MS,
    ca: undefined,
  });
}

test('no question goes by a connection that a proxy kept open, and closes at that moment', async () => {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npong');
      socket.once('data', () => socket.resetAndDestroy());
    });
  });
  onTestFinished(() => void server.close());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const connection = connectionTo(server);
  for (let question = 0; question < 2; question += 1) {
    const answer = await connection.get('ping', new AbortController().signal);
    expect(answer).toMatchObject({ status: 200, text: 'pong' });
  }
});

test(
  'an answer ends with its half of the connection, although nobody takes the rest of the message',
  { timeout: PATIENCE_MS / 4 },
  async () => {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      onTestFinished(() => {
        socket.destroy();
        server.close();
      });
      socket.on('error', () => undefined);
      socket.once('data', () => {
        socket.pause();
        socket.end('HTTP/1.1 403 Forbidden\r\n\r\nNo.');
      });
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const answer = await connectionTo(server).post(
      'learnspam',
      LARGE,
      new AbortController().signal,
    );
    expect(answer).toMatchObject({ status: 403, text: 'No.' });
  },
);
