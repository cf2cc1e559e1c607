import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { Secret } from '../../src/secret.ts';
import { LearningPost } from '../../src/trainers/learning-post.ts';
import { PATIENCE_MS, controllerAt } from './connect.ts';

/** More than all the buffers between two sockets hold. */
const LARGE = Buffer.alloc(32 << 20, 'x');

/** What comes of a large post to a server that reads nothing but its beginning. */
async function postTo(act: (socket: Socket) => void) {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    onTestFinished(() => {
      socket.destroy();
    });
    socket
      .on('error', () => undefined)
      .once('data', () => {
        socket.pause();
        act(socket);
      });
  });
  onTestFinished(() => {
    server.close();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const post = new LearningPost({
    controller: controllerAt(`http://127.0.0.1:${port}`),
    password: Secret.none,
    timeoutMs: PATIENCE_MS,
    ca: undefined,
  });
  return post.send('learnspam', LARGE, new AbortController().signal);
}

test(
  'an answer ends with its half of the connection, although nobody takes the rest of the message',
  {
    timeout: PATIENCE_MS / 4,
  },
  async () => {
    const answer = await postTo((socket) => socket.end('HTTP/1.1 403 Forbidden\r\n\r\nNo.'));
    expect(answer).toMatchObject({ status: 403, text: 'No.' });
  },
);
