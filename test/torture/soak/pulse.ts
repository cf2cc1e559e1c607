import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DaemonReport } from '../../../src/status/reports.ts';

/**
 * Feels the daemon's pulse: asks for its health every second, for its other pages now and then, and
 * can send visitors that behave badly. Notes every answer that a healthy daemon wouldn't give.
 */
const EVERY_MS = 1_000;
/** Longer than a daemon is ever frozen here, and than a busy machine holds it up. */
const PATIENCE_MS = 20_000;

export class Pulse implements AsyncDisposable {
  readonly complaints: string[] = [];
  beats = 0;
  slowestMs = 0;
  readonly #listen: string;
  readonly #visitors = new Set<Socket>();
  readonly #stop = new AbortController();
  #feeling: Promise<void> | undefined;

  /** @param listen the daemon's STATUS_LISTEN */
  constructor(listen: string) {
    this.#listen = listen;
  }

  start(): void {
    this.#feeling = this.#feel();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#feeling;
  }

  async isShown(): Promise<boolean> {
    return (await this.#ask('/healthz').catch(() => undefined)) !== undefined;
  }

  async report(): Promise<DaemonReport> {
    return JSON.parse((await this.#ask('/status')).text) as DaemonReport;
  }

  /** The samples of one metric by their labels, as they are written. */
  async samples(name: string): Promise<ReadonlyMap<string, number>> {
    const { text } = await this.#ask('/metrics');
    const found = text.matchAll(new RegExp(`^${name}(?:\\{(.*)\\})? (\\S+)$`, 'gm'));
    return new Map([...found].map(([, labels = '', value = '']) => [labels, Number(value)]));
  }

  /** Visitors that say nothing, half a request, rubbish, or more than they should, and then stay. */
  visit(count: number): void {
    const [host = '', port = ''] = this.#listen.split(':');
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
      const { status, text } = await this.#ask(path);
      if (!expected.includes(status)) this.complaints.push(`${path}: ${status} ${text}`);
    } catch (error) {
      this.complaints.push(`${path}: ${error instanceof Error ? error.message : String(error)}`);
    }
    this.beats += 1;
    this.slowestMs = Math.max(this.slowestMs, performance.now() - start);
  }

  async #ask(path: string): Promise<{ readonly status: number; readonly text: string }> {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const response = await fetch(`http://${this.#listen}${path}`, { signal });
    return { status: response.status, text: await response.text() };
  }
}
