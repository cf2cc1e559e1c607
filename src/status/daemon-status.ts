import type { Clock } from '../clock.ts';
import type { ListenAddress } from '../listen-address.ts';
import type { Log } from '../logger.ts';
import type { Verdict } from '../verdict.ts';
import { Metrics } from './metrics.ts';
import { statusPages } from './pages.ts';
import { Reporter } from './report.ts';
import type { DaemonView } from './report.ts';
import { StatusServer } from './server.ts';

/** The status of a running daemon, shown from `start` to `stop`. */
export interface DaemonStatusOptions {
  readonly view: DaemonView;
  readonly listen: ListenAddress;
  readonly clock: Clock;
  readonly log: Log;
}

export class DaemonStatus {
  readonly #metrics = new Metrics();
  readonly #server: StatusServer;
  /** Ends what is being asked of rspamd. */
  readonly #stop = new AbortController();

  constructor(options: DaemonStatusOptions) {
    const { view, listen, clock, log } = options;
    const reporter = new Reporter(view, { clock, stop: this.#stop.signal });
    const pages = statusPages({ reporter, metrics: this.#metrics, clock });
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
}
