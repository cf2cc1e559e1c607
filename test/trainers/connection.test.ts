import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { Secret } from '../../src/secret.ts';
import { Connection } from '../../src/trainers/connection.ts';
import { PATIENCE_MS, controllerAt } from './connect.ts';

/** More than all the buffers between two sockets hold. */
const LARGE = Buffer.alloc(32 << 20, 'x');

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
    const { port } = server.address() as AddressInfo;
    const connection = new Connection({
      controller: controllerAt(`http://127.0.0.1:${port}`),
      password: Secret.none,
      timeoutMs: PATIENCE_MS,
      ca: undefined,
    });
    const answer = await connection.post('learnspam', LARGE, new AbortController().signal);
    expect(answer).toMatchObject({ status: 403, text: 'No.' });
  },
);
