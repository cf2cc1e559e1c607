import { freePort } from '../../src/servers/ports.ts';
import type { DaemonReport } from '../../src/status/reports.ts';
import { until } from './until.ts';

/** Longer than a daemon is ever frozen in a test, and than a busy machine holds it up. */
const PATIENCE_MS = 20_000;

interface Page {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

/** What a daemon shows at its status port. */
export class StatusPages {
  /** Its STATUS_LISTEN. */
  readonly listen: string;

  constructor(listen: string) {
    this.listen = listen;
  }

  static async atFreePort(): Promise<StatusPages> {
    return new StatusPages(`127.0.0.1:${await freePort()}`);
  }

  async get(path: string, method = 'GET'): Promise<Page> {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const response = await fetch(`http://${this.listen}${path}`, { method, signal });
    const type = response.headers.get('content-type') ?? '';
    return { status: response.status, type, text: await response.text() };
  }

  async statusOf(path: string): Promise<number> {
    return (await this.get(path)).status;
  }

  async report(): Promise<DaemonReport> {
    return JSON.parse((await this.get('/status')).text) as DaemonReport;
  }

  async untilShown(): Promise<void> {
    await until('the status is shown', () =>
      this.get('/healthz').then(
        () => true,
        () => false,
      ),
    );
  }

  async untilReady(): Promise<void> {
    await until('it is ready', async () => (await this.statusOf('/readyz')) === 200);
  }
}

/** The samples of one metric by their labels, as they are written. */
export function samplesOf(metrics: string, name: string): ReadonlyMap<string, number> {
  const found = metrics.matchAll(new RegExp(`^${name}(?:\\{(.*)\\})? (\\S+)$`, 'gm'));
  return new Map([...found].map(([, labels = '', value = '']) => [labels, Number(value)]));
}
