import { readdirSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { cpuUsage, memoryUsage, uptime } from 'node:process';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { FINAL_RESULTS } from '../delivery/result.ts';
import { classesOf } from '../verdict.ts';
import type { Filter } from '../filter.ts';
import type { Verdict } from '../verdict.ts';
import type { ControllerReport, DaemonReport } from './reports.ts';
import { learnedOf } from './probe.ts';

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
  readonly #duration: Histogram;
  readonly #filters: readonly Filter[];

  /** @param verdicts all classes */
  constructor(filters: readonly Filter[], verdicts: readonly Verdict[]) {
    this.#filters = filters;
    this.#duration = new Histogram({
      name: 'kopano_learnd_learn_duration_seconds',
      help: 'Time of the try that proved a message, until it was disposed of.',
      labelNames: Object.keys(this.#labels('rspamd', 'spam')),
      buckets: BUCKETS_SECONDS,
      registers: [this.#kept],
    });
    for (const filter of filters) {
      for (const verdict of verdicts) this.#duration.zero(this.#labels(filter, verdict));
    }
    this.#lag.enable();
  }

  /** A message was learned and proven. */
  learned(filter: Filter, verdict: Verdict, durationMs: number): void {
    this.#duration.observe(this.#labels(filter, verdict), durationMs / 1000);
  }

  #labels(filter: Filter, verdict: Verdict): Labels {
    return this.#filters.length > 1 ? { trainer: filter, verdict } : { verdict };
  }

  /** Everything in Prometheus' text format. */
  async text(report: DaemonReport): Promise<{ readonly type: string; readonly body: string }> {
    const scrape = new Registry();
    for (const row of [...reportRows(report), ...this.#processRows()]) register(scrape, row);
    const texts = [await this.#kept.metrics(), await scrape.metrics()];
    return { type: scrape.contentType, body: texts.join('\n') };
  }

  /** Ends the measuring. */
  close(): void {
    this.#lag.disable();
  }

  #processRows(): Row[] {
    const { user, system } = cpuUsage();
    const start = Date.now() / 1000 - uptime();
    const isSeen = this.#lag.count > 0;
    const [mean, max] = isSeen ? [this.#lag.mean, this.#lag.max].map(lagSeconds) : [0, 0];
    this.#lag.reset();
    return [
      ['process_cpu_seconds_total', 'User and system CPU time.', one((user + system) / 1e6)],
      ['process_resident_memory_bytes', 'Resident memory.', one(memoryUsage.rss())],
      ['process_open_fds', 'Open file descriptors.', one(openDescriptors())],
      ['process_start_time_seconds', 'Start, in seconds since the epoch.', one(start)],
      ['nodejs_eventloop_lag_mean_seconds', 'Mean lag since the last scrape.', one(mean)],
      ['nodejs_eventloop_lag_max_seconds', 'Longest lag since the last scrape.', one(max)],
    ];
  }
}

/** A metric; its name ends in `_total` where it is a counter. */
type Row = readonly [name: string, help: string, samples: readonly Sample[]];

/** A figure with its labels; `null` where it isn't known. */
type Sample = readonly [labels: Labels, value: number | null];
type Labels = Readonly<Record<string, string>>;

function one(value: number | null | undefined): readonly Sample[] {
  return [[{}, value ?? null]];
}

/** What can't be counted counts nothing. */
function totalOf(counts: readonly (number | null | undefined)[]): number {
  return counts.reduce<number>((sum, each) => sum + (each ?? 0), 0);
}

function moment(iso: string | null | undefined): readonly Sample[] {
  return one(iso === null || iso === undefined ? null : Date.parse(iso) / 1000);
}

function reportRows(report: DaemonReport): Row[] {
  const { waiting, controllers, trainers, bugs, history } = report;
  const labelsOf = (trainer: Filter): Labels => (trainers.length > 1 ? { trainer } : {});
  const ended = trainers.flatMap(({ trainer, messages }) =>
    Object.entries(messages).flatMap(([verdict, counts]) =>
      FINAL_RESULTS.map((outcome): Sample => [
        { ...labelsOf(trainer), verdict, outcome },
        counts[outcome],
      ]),
    ),
  );
  const deferred = trainers.map((each): Sample => [labelsOf(each.trainer), each.deferred]);
  const waits = (waiting === null ? [] : classesOf(waiting.queued)).map((verdict): Sample => [
    { verdict },
    totalOf([waiting?.dropped, waiting?.queued, waiting?.released].map((each) => each?.[verdict])),
  ]);
  const ofControllers = (isSo: (controller: ControllerReport) => boolean): Sample[] =>
    controllers.map((each) => [{ controller: each.name }, Number(isSo(each))]);
  const up = ofControllers(({ ready }) => ready);
  const unproven = ofControllers(({ state }) => state === 'unproven');
  const known = Object.entries(learnedOf(controllers)).map(([each, count]): Sample => [
    { class: each },
    count,
  ]);
  const lie = waiting && totalOf(Object.values(waiting.quarantined));
  return [
    ['kopano_learnd_messages_total', 'Messages by how they ended, each counted once.', ended],
    ['kopano_learnd_pending', 'Messages in the drop directory and the queue, and released.', waits],
    ['kopano_learnd_deferred', 'Those that wait after a failure or for a proof.', deferred],
    [
      'kopano_learnd_last_arrival_timestamp_seconds',
      'When the last message was taken out of the drop directory.',
      moment(history?.lastInAt),
    ],
    [
      'kopano_learnd_last_proof_timestamp_seconds',
      'When the last message was proven to be remembered.',
      moment(history?.lastProofAt),
    ],
    ['kopano_learnd_quarantined', 'Messages that lie in the quarantine.', one(lie)],
    ['kopano_learnd_controller_up', '1: messages can be learned there.', up],
    ['kopano_learnd_controller_unproven', '1: it learns, and does not remember.', unproven],
    ['kopano_learnd_bayes_learned', 'Messages that Bayes has learned, as rspamd says.', known],
    [
      'kopano_learnd_userless_total',
      'Messages learned for nobody: LEARN_USER_HEADER names no user in them.',
      one(report.userless),
    ],
    ['kopano_learnd_bugs_total', 'Errors of the program itself (daemon.bug).', one(bugs.count)],
  ];
}

function register(registry: Registry, [name, help, samples]: Row): void {
  const known = samples.flatMap(([labels, value]) => (value === null ? [] : [{ labels, value }]));
  if (known.length === 0) return;
  const options = { name, help, labelNames: Object.keys(known[0]?.labels ?? {}) };
  const metric = name.endsWith('_total')
    ? new Counter({ ...options, registers: [registry] })
    : new Gauge({ ...options, registers: [registry] });
  for (const { labels, value } of known) metric.inc(labels, value);
}

/** `null` where it can't be told: there is no /proc, or no descriptor is left to read it. */
function openDescriptors(): number | null {
  try {
    return readdirSync('/proc/self/fd').length - 1; // without the one for the listing
  } catch {
    return null;
  }
}

/** Node measures from one look to the next: the time in between is no lag. */
function lagSeconds(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1e9 - LAG_RESOLUTION_MS / 1000);
}
