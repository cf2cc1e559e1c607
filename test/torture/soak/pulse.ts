import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StatusPages } from '../../support/status-pages.ts';

/**
 * Feels the daemon's pulse: asks for its health every second, for its other pages now and then, and
 * can send visitors that behave badly. Notes every answer that a healthy daemon wouldn't give.
 */
const EVERY_MS = 1_000;

export class Pulse implements AsyncDisposable {
  readonly complaints: string[] = [];
  beats = 0;
  slowestMs = 0;
  readonly #pages: StatusPages;
  readonly #visitors = new Set<Socket>();
  readonly #stop = new AbortController();
  #feeling: Promise<void> | undefined;

  constructor(pages: StatusPages) {
    this.#pages = pages;
  }

  start(): void {
    this.#feeling = this.#feel();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#feeling;
  }

  /** Visitors that say nothing, half a request, rubbish, or more than they should, and then stay. */
  visit(count: number): void {
    const [host = '', port = ''] = this.#pages.listen.split(':');
    const openings = [
      '',
      'GET /metr',
      'GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n',
      'POST /status HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nx',
      '\u0016\u0003\u0001 rubbish\r\n\r\n',
      `GET /readyz HTTP/1.1\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`,
    ];
    for (let i = 0; i < count; i += 1) {
      const visitor = connect(Number(port), host);
      visitor.on('error', () => undefined);
      visitor.on('close', () => this.#visitors.delete(visitor));
      // It reads nothing of what it is answered.
      visitor.pause();
      visitor.write(openings[i % openings.length] ?? '');
      if (i % 4 === 0) visitor.end();
      this.#visitors.add(visitor);
    }
  }

  /** Sends all visitors away. */
  async dismiss(): Promise<void> {
    for (const visitor of [...this.#visitors]) {
      const closed = once(visitor, 'close');
      visitor.destroy();
      await closed;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await this.dismiss();
  }

  async #feel(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.#beat('/healthz', [200]);
      if (this.beats % 3 === 0) await this.#beat('/metrics', [200]);
      if (this.beats % 5 === 0) await this.#beat('/readyz', [200, 503]);
      if (this.beats % 7 === 0) await this.#beat('/status', [200]);
      await sleep(EVERY_MS, undefined, { signal: this.#stop.signal }).catch(() => undefined);
    }
  }

  async #beat(path: string, expected: readonly number[]): Promise<void> {
    const start = performance.now();
    try {
      const { status, text } = await this.#pages.get(path);
      if (!expected.includes(status)) this.complaints.push(`${path}: ${status} ${text}`);
    } catch (error) {
      this.complaints.push(`${path}: ${error instanceof Error ? error.message : String(error)}`);
    }
    this.beats += 1;
    this.slowestMs = Math.max(this.slowestMs, performance.now() - start);
  }
}
