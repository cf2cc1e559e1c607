import { readdirSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { cpuUsage, memoryUsage, uptime } from 'node:process';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { errnoOf } from '../errors.ts';
import { FINAL_RESULTS } from "../delivery/result.ts";
import { VERDICTS } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';
import { bayesOf } from './report.ts';
import type { DaemonReport } from './report.ts';

/**
 * The metrics: a report of the daemon in Prometheus' words, with the durations that only this file
 * keeps. What isn't known has no sample, rather than a zero.
 */

/** Two posts take milliseconds, four with their waits more than a second, a slow rspamd longer. */
const BUCKETS_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
/** Ten looks a second cost 0.05 % of a core, a hundred (Node's default) 0.5 %. */
const LAG_RESOLUTION_MS = 100;

export class Metrics {
  readonly #registry = new Registry();
  readonly #lag = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS });
  readonly #duration = new Histogram({
    name: 'kopano_learnd_learn_duration_seconds',
    help: 'Time of the try that proved a message, until it was disposed of.',
    labelNames: ['verdict'],
    buckets: BUCKETS_SECONDS,
    registers: [this.#registry],
  });
  readonly #messages = this.#counter(
    'kopano_learnd_messages_total',
    'Messages by how they ended, each counted once.',
    ['verdict', 'outcome'],
  );
  readonly #pending = this.#gauge(
    'kopano_learnd_pending',
    'Messages in the drop directory and the queue, deferred and released ones included.',
    ['verdict'],
  );
  readonly #deferred = this.#gauge(
    'kopano_learnd_deferred',
    'Messages of the queue that wait after a failure or for a proof; at most LEARN_BACKLOG.',
  );
  readonly #quarantined = this.#gauge(
    'kopano_learnd_quarantined',
    'Messages that lie in the quarantine.',
  );
  readonly #controllerUp = this.#gauge(
    'kopano_learnd_controller_up',
    '1 when messages can be learned at this controller, as far as can be told.',
    ['controller'],
  );
  readonly #controllerUnproven = this.#gauge(
    'kopano_learnd_controller_unproven',
    '1 while this controller says that it learns, and does not remember it.',
    ['controller'],
  );
  readonly #bayesLearned = this.#gauge(
    'kopano_learnd_bayes_learned',
    'Messages that Bayes has learned, as rspamd says; up to a minute old.',
    ['class'],
  );
  readonly #bugs = this.#counter(
    'kopano_learnd_bugs_total',
    'Errors of kopano-learnd itself; each is in its log as daemon.bug.',
  );
  readonly #cpu = this.#counter(
    'process_cpu_seconds_total',
    'User and system CPU time spent in seconds.',
  );
  readonly #resident = this.#gauge(
    'process_resident_memory_bytes',
    'Resident memory size in bytes.',
  );
  readonly #openFds = this.#gauge('process_open_fds', 'Number of open file descriptors.');
  readonly #startTime = this.#gauge(
    'process_start_time_seconds',
    'Start time of the process since unix epoch in seconds.',
  );
  readonly #lagMean = this.#gauge(
    'nodejs_eventloop_lag_mean_seconds',
    'Mean lag of the event loop since the last scrape.',
  );
  readonly #lagMax = this.#gauge(
    'nodejs_eventloop_lag_max_seconds',
    'Longest lag of the event loop since the last scrape.',
  );

  constructor() {
    for (const verdict of VERDICTS) this.#duration.zero({ verdict });
    this.#startTime.set(Date.now() / 1000 - uptime());
    this.#lag.enable();
  }

  /** A message was learned and proven. */
  learned(verdict: Verdict, durationMs: number): void {
    this.#duration.observe({ verdict }, durationMs / 1000);
  }

  /** The content type of {@link text}. */
  get contentType(): string {
    return this.#registry.contentType;
  }

  /** Everything in Prometheus' text format. */
  text(report: DaemonReport): Promise<string> {
    this.#takeReport(report);
    this.#takeProcess();
    return this.#registry.metrics();
  }

  /** Ends the measuring. */
  close(): void {
    this.#lag.disable();
  }

  #takeReport(report: DaemonReport): void {
    const { waiting } = report;
    this.#messages.reset();
    this.#pending.reset();
    this.#controllerUp.reset();
    this.#controllerUnproven.reset();
    this.#bayesLearned.reset();
    const bayes = bayesOf(report.controllers);
    for (const verdict of VERDICTS) {
      for (const outcome of FINAL_RESULTS) {
        this.#messages.inc({ verdict, outcome }, report.messages[verdict][outcome]);
      }
      const pending = sum(
        waiting?.dropped[verdict],
        waiting?.queued[verdict],
        waiting?.released[verdict],
      );
      if (pending !== null) this.#pending.set({ verdict }, pending);
      if (bayes[verdict] !== null) this.#bayesLearned.set({ class: verdict }, bayes[verdict]);
    }
    for (const { name, ready, state } of report.controllers) {
      this.#controllerUp.set({ controller: name }, ready ? 1 : 0);
      this.#controllerUnproven.set({ controller: name }, state === 'unproven' ? 1 : 0);
    }
    this.#bugs.reset();
    this.#bugs.inc(report.bugs.count);
    show(this.#deferred, report.deferred);
    show(this.#quarantined, sum(waiting?.quarantined.spam, waiting?.quarantined.ham));
  }

  #takeProcess(): void {
    const { user, system } = cpuUsage();
    this.#cpu.reset();
    this.#cpu.inc((user + system) / 1e6);
    this.#resident.set(memoryUsage.rss());
    show(this.#openFds, openDescriptors());
    const isNew = this.#lag.count === 0;
    this.#lagMean.set(isNew ? 0 : lagSeconds(this.#lag.mean));
    this.#lagMax.set(isNew ? 0 : lagSeconds(this.#lag.max));
    this.#lag.reset();
  }

  #counter<T extends string>(name: string, help: string, labelNames: T[] = []): Counter<T> {
    return new Counter({ name, help, labelNames, registers: [this.#registry] });
  }

  #gauge<T extends string>(name: string, help: string, labelNames: T[] = []): Gauge<T> {
    return new Gauge({ name, help, labelNames, registers: [this.#registry] });
  }
}

/** Node measures from one look to the next: the time in between is no lag. */
/** `null` where it can't be told: there is no /proc, or no descriptor is left to read it. */
function openDescriptors(): number | null {
  try {
    return readdirSync('/proc/self/fd').length - 1; // without the one for the listing
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return null;
  }
}

function lagSeconds(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1e9 - LAG_RESOLUTION_MS / 1000);
}

/** What is known of them together; `null` when nothing is. */
function sum(...numbers: readonly (number | null | undefined)[]): number | null {
  const known = numbers.filter((each) => typeof each === 'number');
  return known.length === 0 ? null : known.reduce((total, each) => total + each, 0);
}

/** Shows a figure, or nothing where it isn't known. */
function show(gauge: Gauge, value: number | null): void {
  if (value === null) gauge.remove();
  else gauge.set(value);
}
