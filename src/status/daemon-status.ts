import { sleep } from '../clock.ts';
import type { Clock } from '../clock.ts';
import type { ListenAddress } from '../config.ts';
import type { Log } from '../logger.ts';
import type { Verdict } from '../verdict.ts';
import { Metrics } from './metrics.ts';
import { Reporter } from './reports.ts';
import type { DaemonView } from './reports.ts';
import { StatusServer, json } from './server.ts';
import type { Page } from './server.ts';

/** The status of a running daemon: its pages, shown from `start` to `stop`. */
export interface DaemonStatusOptions {
  readonly view: DaemonView;
  readonly listen: ListenAddress;
  readonly clock: Clock;
  readonly log: Log;
}

/** After a sleep (of the machine, or by SIGSTOP) everything is late; it needs a moment to go on. */
const SECOND_LOOK_MS = 250;

export class DaemonStatus {
  readonly #metrics = new Metrics();
  readonly #clock: Clock;
  readonly #reporter: Reporter;
  readonly #server: StatusServer;
  /** Ends what is being asked of rspamd. */
  readonly #stop = new AbortController();

  constructor({ view, listen, clock, log }: DaemonStatusOptions) {
    this.#clock = clock;
    this.#reporter = new Reporter(view, clock, this.#stop.signal);
    const pages = {
      '/healthz': () => this.#health(),
      '/readyz': () => this.#readiness(),
      '/status': async () => json(200, await this.#reporter.status()),
      '/metrics': async () => this.#metrics.page(await this.#reporter.status()),
    };
    this.#server = new StatusServer({ listen, clock, log, bugs: view.bugs, pages });
  }

  /** The port that it is shown at; `undefined` while it isn't. */
  get port(): number | undefined {
    return this.#server.port;
  }

  start(): void {
    this.#server.start();
  }

  /** A message was learned and proven. */
  learned(verdict: Verdict, durationMs: number): void {
    this.#metrics.learned(verdict, durationMs);
  }

  /** Idempotent. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#metrics.close();
    await this.#server.stop();
  }

  async #health(): Promise<Page> {
    let health = this.#reporter.health();
    if (!health.healthy) {
      await sleep(this.#clock, SECOND_LOOK_MS);
      health = this.#reporter.health();
    }
    return json(health.healthy ? 200 : 503, health);
  }

  async #readiness(): Promise<Page> {
    const readiness = await this.#reporter.readiness();
    return json(readiness.ready ? 200 : 503, readiness);
  }
}
