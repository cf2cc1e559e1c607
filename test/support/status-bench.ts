import { onTestFinished } from 'vitest';
import { Affinity } from '../../src/delivery/affinity.ts';
import type { Controller } from '../../src/delivery/controller.ts';
import { PendingMessage } from '../../src/delivery/message.ts';
import { MessageEvents } from '../../src/delivery/events.ts';
import { FILTERS, perFilter } from '../../src/filter.ts';
import type { Filter } from '../../src/filter.ts';
import type { Verdict } from '../../src/verdict.ts';
import type { DiskFault } from '../../src/spool/disk-faults.ts';
import { Reporter } from '../../src/status/reports.ts';
import { StatusServer } from '../../src/status/server.ts';
import { History } from '../../src/status/history.ts';
import type { Counts, ProcessFacts, Stall } from '../../src/status/reports.ts';
import type { Statistics } from '../../src/trainers/trainer.ts';
import { Bench } from './bench.ts';
import { ScriptedTrainer } from './scripted-trainer.ts';
import { StatusPages } from './status-pages.ts';
import { TestSpool } from './test-spool.ts';
import { until } from './until.ts';
import { VERDICTS } from '../../src/verdict.ts';

/** What an rspamd that is well says of itself. */
export const WELL: Statistics = {
  hasBackend: true,
  learned: { spam: 150, ham: 230 },
  uptimeSeconds: 1_000,
};

export const IDLE: Counts = { pending: 0, deferred: 0, inFlight: 0 };

export interface StatusBenchOptions {
  /** @defaultValue one that is well */
  readonly trainers?: readonly ScriptedTrainer[];
  /** @defaultValue 0: any that is free */
  readonly port?: number;
  /** All classes. @defaultValue spam and ham */
  readonly verdicts?: readonly Verdict[];
}

/** What a daemon says of its process. */
export const PROCESS: ProcessFacts = {
  pid: 4_711,
  uid: 999,
  groups: [993],
  host: { kind: 'other' },
  file: null,
  after: 'remove',
};

/** The status of a daemon that does as the test says, at a real port. */
export class StatusBench extends Bench {
  readonly spool: TestSpool;
  /** Of each filter. */
  readonly messagesOf: Readonly<Record<Filter, MessageEvents>>;
  readonly history: History;
  readonly reporter: Reporter;
  readonly status: StatusServer;
  /** `undefined`: it stands by. */
  counts: Counts | undefined = IDLE;
  stalls: readonly Stall[] = [];
  diskFaults: readonly DiskFault[] = [];

  constructor(options: StatusBenchOptions = {}) {
    super(options.trainers ?? [wellTrainer()]);
    const { clock, log, bugs } = this;
    const { verdicts = VERDICTS } = options;
    const spool = new TestSpool({ verdicts });
    this.spool = spool;
    this.history = new History({ stateDir: spool.stateDir, clock, log });
    const eventsOf = (filter: Filter): MessageEvents =>
      new MessageEvents({
        ...{ log, clock, filter, verdicts },
        onEnded: (ended) => {
          this.history.ended(filter, ended);
          this.status.ended(filter, ended);
        },
      });
    this.messagesOf = perFilter(eventsOf);
    const controllersOf = (filter: Filter): readonly Controller[] =>
      this.controllers.filter(({ trainer }) => trainer.filter === filter);
    const filters = FILTERS.filter((filter) => controllersOf(filter).length > 0);
    const learners = filters.map((filter) => ({
      filter,
      controllers: controllersOf(filter),
      affinity: new Affinity(clock),
      events: this.messagesOf[filter],
      concurrency: 8,
      longestPostMs: 30_000,
    }));
    const view = {
      spool: { libDir: spool.lib, stateDir: spool.stateDir.root.path, verdicts },
      learners,
      bugs,
      process: PROCESS,
      counts: () => this.counts,
      countsOf: () => this.counts,
      stalls: () => this.stalls,
      faults: () => this.diskFaults,
      history: () => (this.counts === undefined ? undefined : this.history.report),
      waitsFor: () => (this.counts === undefined ? 'another daemon owns it' : undefined),
    };
    const ending = new AbortController();
    const reporter = new Reporter(view, clock, ending.signal);
    this.reporter = reporter;
    const listen = { host: '127.0.0.1', port: options.port ?? 0 };
    this.status = new StatusServer({ reporter, bugs, filters, verdicts, listen, clock, log });
    onTestFinished(() => {
      ending.abort();
      return this.status.stop();
    });
  }

  static async start(options: StatusBenchOptions = {}): Promise<StatusBench> {
    const bench = new StatusBench(options);
    bench.status.start();
    await bench.untilListening();
    return bench;
  }

  /** Of rspamd. */
  get messages(): MessageEvents {
    return this.messagesOf.rspamd;
  }

  untilListening(): Promise<void> {
    return until('it listens', () => this.status.port !== undefined);
  }

  /** `HOST:PORT`, as STATUS_LISTEN has it. */
  get address(): string {
    return `127.0.0.1:${this.status.port ?? 0}`;
  }

  get(path: string, method?: string): ReturnType<StatusPages['get']> {
    return new StatusPages(this.address).get(path, method);
  }

  /** The JSON of a page, whatever its status. */
  async json(path: string): Promise<Record<string, unknown>> {
    return JSON.parse((await this.get(path)).text) as Record<string, unknown>;
  }
}

/** A controller with a name, and this to say of itself. */
export function wellTrainer(
  name = 'http://one:11334',
  figures: Statistics | undefined = WELL,
): ScriptedTrainer {
  const trainer = new ScriptedTrainer(name);
  trainer.figures = figures;
  trainer.clock = 0;
  return trainer;
}

/** A message on its way. */
export function deliveryOf(key: string, verdict: Verdict = 'spam'): PendingMessage {
  return new PendingMessage({ verdict, key, bytes: 1 }, []);
}
