import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { StatusBench } from '../support/status-bench.ts';
import { until } from '../support/until.ts';

const PORT_RETRY_MS = 5_000;

/** A client that writes what it likes. */
class RawClient {
  text = '';
  isClosed = false;
  readonly socket: Socket;

  constructor({ status }: StatusBench) {
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

/** What a server says to such bytes until it closes. */
async function told(bench: StatusBench, bytes: string): Promise<string> {
  const client = new RawClient(bench);
  client.socket.write(bytes);
  await client.untilClosed();
  return client.text;
}

test('an error of this program in a page is a bug in the log, and says nothing to who asked', async () => {
  const bench = await StatusBench.start();
  const { trainer } = bench;
  const statistics = trainer.statistics.bind(trainer);
  trainer.statistics = () => {
    throw new TypeError('x');
  };
  expect(await bench.get('/status')).toMatchObject({ status: 500, text: 'internal error\n' });
  expect(bench.recorder.of('daemon.bug')).toMatchObject([
    { severity: 'err', fields: { where: 'the page /status' } },
  ]);
  trainer.statistics = statistics;
  expect((await bench.get('/status')).status).toBe(200);
});

describe('a request', () => {
  test.each(['/healthz', '/readyz', '/metrics', '/status'])(
    'for %s is answered, by HEAD without a body, and by nothing else',
    async (path) => {
      const bench = await StatusBench.start();
      const [got, head] = [await bench.get(path), await bench.get(path, 'HEAD')];
      expect(got.status).toBe(200);
      expect(got.text).not.toBe('');
      expect(head).toMatchObject({ status: 200, type: got.type, text: '' });
      expect((await bench.get(`${path}?verbose=1`)).status).toBe(200);
      expect((await bench.get(path, 'POST')).status).toBe(405);
    },
  );

  test.each(['/metrics/', '/Healthz', '/constructor', '/__proto__', '//status', '/../status'])(
    'for another path is not found: %s',
    async (path) => {
      const bench = await StatusBench.start();
      const text = await told(bench, `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
      expect(text).toMatch(/^HTTP\/1.1 404 /);
    },
  );
});

describe('a client that', () => {
  const request = 'GET /healthz HTTP/1.1\r\nHost: x\r\n';
  test.each([
    ['sends endless headers', `${request}X-Long: ${'x'.repeat(100_000)}`, 431],
    ['speaks no HTTP', '\u0000\u0001\u0002 what is this\r\n\r\n', 400],
    ['never ends its headers', request, 408],
    [
      'sends an endless body',
      `POST /status HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000000\r\n\r\n${'x'.repeat(1e6)}`,
      405,
    ],
    ['asks ten thousand times in one go', `${request}\r\n`.repeat(10_000), 200],
  ])('%s is told so once, and closed', async (_, bytes, status) => {
    const bench = await StatusBench.start();
    const text = await told(bench, bytes);
    expect(text.match(/HTTP\/1.1 \d+/g)).toEqual([`HTTP/1.1 ${status}`]);
    expect(text).toMatch(/^connection: close\r$/im);
    expect((await bench.get('/healthz')).status).toBe(200);
  });

  test('opens a thousand connections gets at most 64 of them', async () => {
    const bench = await StatusBench.start();
    const clients = Array.from({ length: 1_000 }, () => new RawClient(bench));
    await until('the others are closed', () => {
      return clients.filter(({ isClosed }) => isClosed).length >= 1_000 - 64;
    });
    // Dropped without a word: only one that was taken, and timed out, is told so.
    expect(clients.filter(({ text }) => text !== '').length).toBeLessThanOrEqual(64);
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
    for (let i = 0; i < 3; i += 1) {
      await until('it waits', () => bench.clock.timers === 1);
      bench.clock.advance(PORT_RETRY_MS);
    }
    await until('it waits', () => bench.clock.timers === 1);
    expect(bench.recorder.of('status.unavailable')).toMatchObject([
      { severity: 'warning', fields: { port, code: 'EADDRINUSE' } },
    ]);
    expect(bench.recorder.fieldOf('status.unavailable', 'cure')[0]).toMatch(/STATUS_LISTEN/);
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
    await StatusBench.start(); // by then the other would listen, too
    expect(bench.recorder.of('status.listening')).toEqual([]);
  });
});
