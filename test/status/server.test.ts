import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Bugs } from '../../src/bugs.ts';
import { PORT_RETRY_MS, StatusServer, json } from '../../src/status/server.ts';
import type { Page } from '../../src/status/server.ts';
import { LogRecorder } from '../support/log-recorder.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { StatusBench } from '../support/status-bench.ts';
import { until } from '../support/until.ts';

const PAGES = ['/healthz', '/readyz', '/metrics', '/status'];

/** A client that writes what it likes. */
class RawClient {
  text = '';
  isClosed = false;
  readonly socket: Socket;

  constructor({ status }: { readonly status: { readonly port: number | undefined } }) {
    this.socket = connect({ host: '127.0.0.1', port: status.port ?? 0 });
    this.socket.setEncoding('latin1');
    this.socket.on('data', (chunk: string) => (this.text += chunk));
    this.socket.on('error', () => undefined);
    this.socket.on('close', () => {
      this.isClosed = true;
    });
    onTestFinished(() => {
      this.socket.destroy();
    });
  }

  untilClosed(): Promise<void> {
    return until('the server has closed', () => this.isClosed);
  }
}

/** A server with pages of the test's. */
async function serve(
  pages: Readonly<Record<string, () => Promise<Page>>>,
  { log } = new LogRecorder(),
): Promise<StatusServer> {
  const clock = new ManualClock();
  const bugs = new Bugs({ clock, log });
  const listen = { host: '127.0.0.1', port: 0 };
  const server = new StatusServer({ listen, clock, log, bugs, pages });
  onTestFinished(() => server.stop());
  server.start();
  await until('it listens', () => server.port !== undefined);
  return server;
}

describe('an error of this program', () => {
  const recorder = new LogRecorder();
  const pages = {
    '/broken': () => Promise.reject(new TypeError('x is not a function')),
    // What can't be sent: a header that Node.js refuses.
    '/unfit': () => Promise.resolve({ ...json(200, 'x'), type: 'text/\u0000' }),
    '/well': () => Promise.resolve(json(200, 'x')),
  };

  test('in a page is a bug in the log, and says nothing to who asked', async () => {
    recorder.lines.length = 0;
    const server = await serve(pages, recorder);
    const url = `http://127.0.0.1:${server.port ?? 0}`;
    const answer = await fetch(`${url}/broken`);
    expect([answer.status, await answer.text()]).toEqual([500, 'internal error\n']);
    expect(recorder.of('daemon.bug')).toMatchObject([
      { severity: 'err', fields: { where: 'the page /broken' } },
    ]);
    expect((await fetch(`${url}/well`)).status).toBe(200);
  });

  test('in sending it is one as well, and the server goes on', async () => {
    recorder.lines.length = 0;
    const server = await serve(pages, recorder);
    const client = new RawClient({ status: server });
    client.socket.write('GET /unfit HTTP/1.1\r\nHost: x\r\n\r\n');
    await client.untilClosed();
    expect(recorder.fieldOf('daemon.bug', 'error')).toEqual(['TypeError (ERR_INVALID_CHAR)']);
    expect((await fetch(`http://127.0.0.1:${server.port ?? 0}/well`)).status).toBe(200);
  });
});

describe('a request', () => {
  test.each(PAGES)('for %s is answered, by HEAD without a body', async (path) => {
    const bench = await StatusBench.start();
    const [got, head] = [await bench.get(path), await bench.get(path, 'HEAD')];
    expect(got.status).toBe(200);
    expect(got.text).not.toBe('');
    expect(head).toMatchObject({ status: 200, type: got.type, text: '' });
    expect((await bench.get(`${path}?verbose=1`)).status).toBe(200);
  });

  test.each(['/', '/metrics/', '/Healthz', '/constructor', '/__proto__', '//status', '/../status'])(
    'for another path is not found: %s',
    async (path) => {
      const bench = await StatusBench.start();
      const client = new RawClient(bench);
      client.socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
      await client.untilClosed();
      expect(client.text).toMatch(/^HTTP\/1.1 404 /);
    },
  );

  test.each(['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'])(
    'by %s is refused, with what is allowed',
    async (method) => {
      const bench = await StatusBench.start();
      expect((await bench.get('/status', method)).status).toBe(405);
    },
  );

  test('is answered once a connection', async () => {
    const bench = await StatusBench.start();
    const client = new RawClient(bench);
    client.socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(3));
    await client.untilClosed();
    expect(client.text.match(/HTTP\/1.1 200/g)).toHaveLength(1);
    expect(client.text).toMatch(/^connection: close\r$/im);
  });
});

describe('a hostile client', () => {
  test('with endless headers is refused', async () => {
    const bench = await StatusBench.start();
    const client = new RawClient(bench);
    client.socket.write(`GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(100_000)}`);
    await client.untilClosed();
    expect(client.text).toMatch(/^HTTP\/1.1 431 /);
  });

  test('that never ends its headers is closed', { timeout: 20_000 }, async () => {
    const bench = await StatusBench.start();
    const clients = Array.from({ length: 5 }, () => new RawClient(bench));
    for (const client of clients) client.socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\n');
    for (const client of clients) await client.untilClosed();
    expect((await bench.get('/healthz')).status).toBe(200);
  });

  test('that sends an endless body gets its answer and is closed', async () => {
    const bench = await StatusBench.start();
    const client = new RawClient(bench);
    client.socket.write('POST /status HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000000\r\n\r\n');
    const flood = setInterval(() => client.socket.write(Buffer.alloc(65_536)), 1);
    await client.untilClosed().finally(() => {
      clearInterval(flood);
    });
    expect((await bench.get('/healthz')).status).toBe(200);
  });

  test('that asks ten thousand times in one go gets one page', async () => {
    let pages = 0;
    const server = await serve({
      '/status': () => {
        pages += 1;
        return Promise.resolve(json(200, 'x'.repeat(10_000)));
      },
    });
    const client = new RawClient({ status: server });
    client.socket.write('GET /status HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(10_000));
    await client.untilClosed();
    expect(pages).toBe(1);
  });

  test('that speaks no HTTP is told so', async () => {
    const bench = await StatusBench.start();
    const client = new RawClient(bench);
    client.socket.write('\u0000\u0001\u0002 what is this\r\n\r\n');
    await client.untilClosed();
    expect(client.text).toMatch(/^HTTP\/1.1 400 /);
  });

  test('that opens a thousand connections takes at most 64 of them', async () => {
    const bench = await StatusBench.start();
    const clients = Array.from({ length: 1_000 }, () => new RawClient(bench));
    await until('the others are closed', () => {
      return clients.filter(({ isClosed }) => isClosed).length >= 1_000 - 64;
    });
    // Dropped at once; those that were taken and timed out would have been told so.
    expect(clients.filter(({ text }) => text !== '')).toEqual([]);
    for (const { socket } of clients) socket.destroy();
    await until('all are closed', () => clients.every(({ isClosed }) => isClosed));
    expect((await bench.get('/healthz')).status).toBe(200);
  });
});

describe('a port that is taken', () => {
  test('is a warning that names the cure, once, and is asked for again', async () => {
    const holder = createServer();
    holder.listen(0, '127.0.0.1');
    await once(holder, 'listening');
    const { port } = holder.address() as AddressInfo;
    const bench = new StatusBench({ port });
    bench.status.start();
    await until('it is told', () => bench.recorder.of('status.unavailable').length === 1);
    expect(bench.recorder.of('status.unavailable')).toMatchObject([
      { severity: 'warning', fields: { port, code: 'EADDRINUSE' } },
    ]);
    expect(bench.recorder.fieldOf('status.unavailable', 'cure')[0]).toMatch(/STATUS_LISTEN/);
    for (let i = 0; i < 5; i += 1) {
      await until('it waits', () => bench.clock.timers === 1);
      bench.clock.advance(PORT_RETRY_MS);
    }
    await until('it waits', () => bench.clock.timers === 1);
    expect(bench.recorder.of('status.unavailable')).toHaveLength(1);
    holder.close();
    await once(holder, 'close');
    bench.clock.advance(PORT_RETRY_MS);
    await bench.untilListening();
    expect((await bench.get('/healthz')).status).toBe(200);
    expect(bench.recorder.of('status.listening')).toHaveLength(1);
  });

  test('is not asked for after a stop', async () => {
    const first = await StatusBench.start();
    const bench = new StatusBench({ port: first.status.port ?? 0 });
    bench.status.start();
    await until('it is told', () => bench.recorder.of('status.unavailable').length === 1);
    await bench.status.stop();
    expect(bench.clock.timers).toBe(0);
  });
});

describe('a stop', () => {
  test('closes the port and what is connected, and may come twice', async () => {
    const bench = await StatusBench.start();
    const client = new RawClient(bench);
    await once(client.socket, 'connect');
    await bench.status.stop();
    await bench.status.stop();
    await client.untilClosed();
    expect(bench.status.port).toBeUndefined();
  });

  test('just after the start leaves nothing listening', async () => {
    const bench = new StatusBench();
    bench.status.start();
    await bench.status.stop();
    await until('nothing listens', () => bench.status.port === undefined);
    expect(bench.recorder.of('status.listening')).toEqual([]);
  });
});
