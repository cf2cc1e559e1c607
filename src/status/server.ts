import type { Server } from 'node:http';
import type { Bugs } from '../bugs.ts';
import type { Clock, Timer } from '../clock.ts';
import { errnoOf } from '../errors.ts';
import { addressText } from '../config.ts';
import type { ListenAddress } from '../config.ts';
import { LogThrottle } from '../logger.ts';
import type { Log } from '../logger.ts';
import type { Ended } from '../delivery/events.ts';
import type { Filter } from '../filter.ts';
import type { Verdict } from '../verdict.ts';
import { Metrics } from './metrics.ts';
import { closeServer, createPageServer, json } from './pages.ts';
import type { Page } from './pages.ts';
import type { Reporter } from './reports.ts';

interface StatusServerOptions {
  readonly reporter: Reporter;
  readonly bugs: Bugs;
  /** The filters that are taught: where there are several, figures have a label `trainer`. */
  readonly filters: readonly Filter[];
  /** All classes. */
  readonly verdicts: readonly Verdict[];
  readonly listen: ListenAddress;
  readonly clock: Clock;
  readonly log: Log;
}

const CURE =
  'end the program that has the port, or set STATUS_LISTEN to a free port above 1023 on an address of this machine, or to off';
/** How often a port that is taken is asked for. */
const PORT_RETRY_MS = 5_000;
/** From the first byte to the last of ours. */
const CONNECTION_MS = 15_000;
const MAX_CONNECTIONS = 64;

/**
 * The daemon's pages at STATUS_LISTEN. A port that is taken costs the pages and nothing else: it is
 * asked for again.
 */
export class StatusServer {
  readonly #options: StatusServerOptions;
  readonly #throttle: LogThrottle;
  readonly #metrics: Metrics;
  #server: Server | undefined;
  #retry: Timer | undefined;

  constructor(options: StatusServerOptions) {
    this.#options = options;
    this.#metrics = new Metrics(options.filters, options.verdicts);
    this.#throttle = new LogThrottle(options.clock);
  }

  /** Listens, now or as soon as it may. */
  start(): void {
    const server = createPageServer(this.#options.bugs, (path) => this.#page(path));
    server.maxConnections = MAX_CONNECTIONS;
    // Node.js reads and parses what is sent after the first request all the same: it gets no page.
    server.maxRequestsPerSocket = 1;
    server.setTimeout(CONNECTION_MS);
    server.on('error', (error) => {
      // A connection that can't be accepted (EMFILE) leaves it listening.
      if (!server.listening && this.#server === server) this.#failed(error);
    });
    server.once('listening', () => {
      if (this.#server !== server) {
        server.close(); // it was stopped meanwhile
        return;
      }
      this.#throttle.forget('listen');
      const says = `the status is shown at ${this.#place}`;
      this.#options.log('info', 'status.listening', says, { port: this.port });
    });
    this.#server = server.listen(this.#options.listen);
  }

  /** The port that it listens on; `undefined` while it doesn't. */
  get port(): number | undefined {
    const address = this.#server?.address();
    return typeof address === 'object' ? address?.port : undefined;
  }

  /** A message has ended at a filter. */
  ended(filter: Filter, { verdict, provenMs }: Ended): void {
    if (provenMs !== undefined) this.#metrics.learned(filter, verdict, provenMs);
  }

  /** Closes the port and every connection. Idempotent. */
  async stop(): Promise<void> {
    this.#metrics.close();
    this.#retry?.cancel();
    const server = this.#server;
    this.#server = undefined;
    await closeServer(server);
  }

  #failed(error: Error): void {
    const { clock, log, listen, bugs } = this.#options;
    this.#retry = clock.after(PORT_RETRY_MS, () => this.start());
    const code = errnoOf(error);
    if (code === undefined) bugs.report(error, 'the status server');
    else if (this.#throttle.allows('listen', code)) {
      const says = `the status can't be shown at ${this.#place} (${code}); learning goes on; ${CURE}`;
      const fields = { ...listen, code, cure: CURE, retrySeconds: PORT_RETRY_MS / 1000 };
      log('warning', 'status.unavailable', says, fields);
    }
  }

  async #page(path: string): Promise<Page | undefined> {
    const { reporter } = this.#options;
    switch (path) {
      case '/healthz': {
        const health = reporter.health();
        return json(health.healthy ? 200 : 503, health);
      }
      case '/readyz': {
        const readiness = await reporter.readiness();
        return json(readiness.ready ? 200 : 503, readiness);
      }
      case '/status':
        return json(200, await reporter.status());
      case '/': {
        // Few look at it; it is loaded for the first who does.
        const { statusPage } = await import('./page/page.ts');
        return statusPage(await reporter.status(), this.#options.clock.wall());
      }
      case '/metrics':
        return { status: 200, ...(await this.#metrics.text(await reporter.status())) };
      default:
        return undefined;
    }
  }

  get #place(): string {
    const { host, port } = this.#options.listen;
    return `http://${addressText({ host, port: this.port ?? port })}`;
  }
}
