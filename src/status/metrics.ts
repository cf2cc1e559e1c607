import { readdirSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { cpuUsage, memoryUsage, uptime } from 'node:process';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { errnoOf } from '../errors.ts';
import { FINAL_RESULTS } from '../delivery/result.ts';
import { VERDICTS } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';
import { bayesOf } from './reports.ts';
import type { DaemonReport } from './reports.ts';
import type { Page } from './server.ts';

/**
 * The metrics: a report of the daemon in Prometheus' words, with the durations that only this file
 * keeps, and the figures of the process. What isn't known has no sample, rather than a zero.
 *
 * prom-client's own figures of the process (`collectDefaultMetrics`) are not used: its observer of
 * garbage collections took 16 MB and a fifth of the CPU time of a burst, and three of its names fail
 * `promtool check metrics`.
 */

/** Two posts take milliseconds, four with their waits more than a second, a slow rspamd longer. */
const BUCKETS_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
/** Ten looks a second cost 0.15 % of a core, a hundred (prom-client's default) 0.9 %. */
const LAG_RESOLUTION_MS = 100;

export class Metrics {
  readonly #kept = new Registry();
  readonly #lag = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS });
  readonly #duration = new Histogram({
    name: 'kopano_learnd_learn_duration_seconds',
    help: 'Time of the try that proved a message, until it was disposed of.',
    labelNames: ['verdict'],
    buckets: BUCKETS_SECONDS,
    registers: [this.#kept],
  });

  constructor() {
    for (const verdict of VERDICTS) this.#duration.zero({ verdict });
    this.#lag.enable();
  }

  /** A message was learned and proven. */
  learned(verdict: Verdict, durationMs: number): void {
    this.#duration.observe({ verdict }, durationMs / 1000);
  }

  /** Everything in Prometheus' text format. */
  async page(report: DaemonReport): Promise<Page> {
    const scrape = new Scrape();
    takeReport(scrape, report);
    this.#takeProcess(scrape);
    const texts = [await this.#kept.metrics(), await scrape.registry.metrics()];
    return { status: 200, type: scrape.registry.contentType, body: texts.join('\n') };
  }

  /** Ends the measuring. */
  close(): void {
    this.#lag.disable();
  }

  #takeProcess(scrape: Scrape): void {
    const { user, system } = cpuUsage();
    const cpu = (user + system) / 1e6;
    const start = Date.now() / 1000 - uptime();
    const [mean, max] =
      this.#lag.count === 0 ? [0, 0] : [lagSeconds(this.#lag.mean), lagSeconds(this.#lag.max)];
    this.#lag.reset();
    scrape.counter('process_cpu_seconds_total', 'User and system CPU time in seconds.', [{}, cpu]);
    scrape.gauge('process_resident_memory_bytes', 'Resident memory in bytes.', [
      {},
      memoryUsage.rss(),
    ]);
    scrape.gauge('process_open_fds', 'Number of open file descriptors.', [{}, openDescriptors()]);
    scrape.gauge('process_start_time_seconds', 'Start, in seconds since the epoch.', [{}, start]);
    const lag = 'lag of the event loop since the last scrape.';
    scrape.gauge('nodejs_eventloop_lag_mean_seconds', `Mean ${lag}`, [{}, mean]);
    scrape.gauge('nodejs_eventloop_lag_max_seconds', `Longest ${lag}`, [{}, max]);
  }
}

function takeReport(scrape: Scrape, report: DaemonReport): void {
  const { waiting, controllers } = report;
  const bayes = bayesOf(controllers);
  scrape.counter(
    'kopano_learnd_messages_total',
    'Messages by how they ended, each counted once.',
    ...VERDICTS.flatMap((verdict) =>
      FINAL_RESULTS.map((outcome): Sample => [
        { verdict, outcome },
        report.messages[verdict][outcome],
      ]),
    ),
  );
  scrape.gauge(
    'kopano_learnd_pending',
    'Messages in the drop directory and the queue, deferred and released ones included.',
    ...VERDICTS.map((verdict): Sample => [
      { verdict },
      sum(waiting?.dropped[verdict], waiting?.queued[verdict], waiting?.released[verdict]),
    ]),
  );
  scrape.gauge(
    'kopano_learnd_deferred',
    'Messages of the queue that wait after a failure or for a proof; at most LEARN_BACKLOG.',
    [{}, report.deferred],
  );
  const quarantined = sum(waiting?.quarantined.spam, waiting?.quarantined.ham);
  scrape.gauge('kopano_learnd_quarantined', 'Messages that lie in the quarantine.', [
    {},
    quarantined,
  ]);
  scrape.gauge(
    'kopano_learnd_controller_up',
    '1 when messages can be learned at this controller, as far as can be told.',
    ...controllers.map(({ name, ready }): Sample => [{ controller: name }, Number(ready)]),
  );
  scrape.gauge(
    'kopano_learnd_controller_unproven',
    '1 while this controller says that it learns, and does not remember it.',
    ...controllers.map(({ name, state }): Sample => [
      { controller: name },
      Number(state === 'unproven'),
    ]),
  );
  scrape.gauge(
    'kopano_learnd_bayes_learned',
    'Messages that Bayes has learned, as rspamd says; up to a minute old.',
    ...VERDICTS.map((verdict): Sample => [{ class: verdict }, bayes[verdict]]),
  );
  scrape.counter(
    'kopano_learnd_bugs_total',
    'Errors of kopano-learnd itself; each is in its log as daemon.bug.',
    [{}, report.bugs.count],
  );
}

/** A figure with its labels; `null` where it isn't known. */
type Sample = readonly [labels: Readonly<Record<string, string>>, value: number | null];

/** The metrics of one scrape. */
class Scrape {
  readonly registry = new Registry();

  gauge(name: string, help: string, ...samples: readonly Sample[]): void {
    const known = samples.filter(([, value]) => value !== null);
    const labelNames = Object.keys(samples[0]?.[0] ?? {});
    // prom-client gives a gauge without labels a zero of its own.
    if (known.length === 0 && labelNames.length === 0) return;
    const metric = new Gauge({ name, help, labelNames, registers: [this.registry] });
    for (const [labels, value] of known) metric.set(labels, value ?? 0);
  }

  counter(name: string, help: string, ...samples: readonly Sample[]): void {
    const labelNames = Object.keys(samples[0]?.[0] ?? {});
    const metric = new Counter({ name, help, labelNames, registers: [this.registry] });
    for (const [labels, value] of samples) metric.inc(labels, value ?? 0);
  }
}

/** `null` where it can't be told: there is no /proc, or no descriptor is left to read it. */
function openDescriptors(): number | null {
  try {
    return readdirSync('/proc/self/fd').length - 1; // without the one for the listing
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return null;
  }
}

/** Node measures from one look to the next: the time in between is no lag. */
function lagSeconds(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1e9 - LAG_RESOLUTION_MS / 1000);
}

/** What is known of them together; `null` when nothing is. */
function sum(...numbers: readonly (number | null | undefined)[]): number | null {
  const known = numbers.filter((each) => typeof each === 'number');
  return known.length === 0 ? null : known.reduce((total, each) => total + each, 0);
}
