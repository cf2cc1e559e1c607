/**
 * A stand-in for rspamd's controller, as cheap as a server can be: it reads a request, answers the
 * first post of a message with 200 and the second with 208, and closes the connection, as rspamd
 * does with every answer. It prints its port and runs until it is killed. With an argument each post
 * takes so many milliseconds, one after the other, and costs no CPU time.
 *
 * A process of its own, so that its memory and CPU time are not the daemon's.
 */
import { createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const waitMs = Number(process.argv[2] ?? 0);

/** Messages that were posted once; a second post takes them out again. */
const posted = new Set<string>();

function answer(status: string, body: string): string {
  return (
    `HTTP/1.1 ${status}\r\nConnection: close\r\nServer: rspamd/stub\r\n` +
    `Date: ${new Date().toUTCString()}\r\nContent-Type: application/json\r\n` +
    `Content-Length: ${body.length}\r\n\r\n${body}`
  );
}

function reply(request: string): string {
  if (request.startsWith('GET ')) {
    return answer('200 OK', '{"statfiles":[{"revision":1,"symbol":"BAYES_SPAM"}],"uptime":3600}');
  }
  const id = /^message-id: <([^>]*)>/im.exec(request)?.[1] ?? '';
  if (posted.delete(id)) {
    return answer(`208 <${id}> has been already learned as spam, ignore it`, '{"success":false}');
  }
  posted.add(id);
  return answer('200 OK', '{"success":true}');
}

/** Whether the header and the announced body have arrived. */
function isWhole(request: string): boolean {
  const end = request.indexOf('\r\n\r\n');
  if (end === -1) return false;
  const length = Number(/^content-length: *(\d+)/im.exec(request.slice(0, end))?.[1] ?? 0);
  return request.length >= end + 4 + length;
}

/** The end of the posts so far. */
let turn: Promise<unknown> = Promise.resolve();

const server = createServer((socket: Socket) => {
  let request = '';
  socket.setEncoding('latin1');
  socket.on('data', (chunk: string) => {
    request += chunk;
    if (!isWhole(request)) return;
    const answer = (): unknown => socket.end(reply(request), 'latin1');
    if (waitMs === 0 || request.startsWith('GET ')) answer();
    else turn = turn.then(() => sleep(waitMs)).then(answer);
  });
  socket.on('error', () => undefined);
});

server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not a TCP server');
  console.log(String(address.port));
});
