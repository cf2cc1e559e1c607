import { sleep } from '../clock.ts';
import type { Clock } from '../clock.ts';
import type { Metrics } from './metrics.ts';
import type { Reporter } from './report.ts';
import { json } from './server.ts';
import type { Page } from './server.ts';

/** The pages of the status server, and with which status each of them is shown. */
export interface PagesOptions {
  readonly reporter: Reporter;
  readonly metrics: Metrics;
  readonly clock: Clock;
}

/** After a sleep (of the machine, or by SIGSTOP) everything is late; it needs a moment to go on. */
const SECOND_LOOK_MS = 250;

export function statusPages(options: PagesOptions): Readonly<Record<string, () => Promise<Page>>> {
  const { reporter, metrics, clock } = options;
  return {
    '/healthz': async () => {
      let health = reporter.health();
      if (!health.healthy) {
        await sleep(clock, SECOND_LOOK_MS);
        health = reporter.health();
      }
      return json(health.healthy ? 200 : 503, health);
    },
    '/readyz': async () => {
      const readiness = await reporter.readiness();
      return json(readiness.ready ? 200 : 503, readiness);
    },
    '/status': async () => json(200, await reporter.status()),
    '/metrics': async () => ({
      status: 200,
      type: metrics.contentType,
      body: await metrics.text(await reporter.status()),
    }),
  };
}
