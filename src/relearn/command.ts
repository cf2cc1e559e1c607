import { systemClock } from '../clock.ts';
import type { Config } from '../config.ts';
import type { ExitCode } from '../errors.ts';
import { Controller } from '../delivery/controller.ts';
import type { Log } from '../logger.ts';
import { createTrainers } from '../trainers/create.ts';
import { BayesGain } from './bayes-gain.ts';
import { BulkStore } from './bulk-store.ts';
import { dryRun } from './dry-run.ts';
import { Journal } from './journal.ts';
import { Progress } from './progress.ts';
import { BulkRun } from './run.ts';
import type { Ending } from './run.ts';
import { checkSources, inShell, pathsByVerdict } from './source-arguments.ts';
import type { SourceArguments } from './source-arguments.ts';
import { archiveSources } from './sources/archive.ts';
import { PathSource } from './sources/path-source.ts';
import { STDIN } from './sources/source.ts';
import type { ReadingOptions, Source } from './sources/source.ts';
import { lockSpools } from './spool-locks.ts';
import { RunStats } from './stats.ts';
import type { Named } from './stats.ts';
import { inWords, isNearlyAllKnown, summarize } from './summary.ts';
import type { Summary } from './summary.ts';

/**
 * `kopano-learnd relearn`: teaches a whole archive, once. Sources in, summary out; the messages are
 * delivered as the daemon's are.
 */
export interface RelearnOptions {
  readonly config: Config;
  readonly flags: RelearnFlags;
  /** The words after the program's name: what is typed again to go on. */
  readonly args: readonly string[];
  readonly stop: AbortSignal;
  readonly stdin: () => AsyncIterable<Buffer>;
  /** Standard output: the summary. */
  readonly out: (text: string) => void;
  /** Standard error: everything else. */
  readonly err: (text: string) => void;
  /** Standard error is a terminal. */
  readonly errIsTerminal: boolean;
}

export interface RelearnFlags extends SourceArguments {
  readonly concurrency: number;
  readonly journal: string | undefined;
  readonly dryRun: boolean;
  /** At most so many messages are posted. */
  readonly limit: number;
  readonly bulk: boolean;
  readonly proveAll: boolean;
  readonly json: boolean;
  readonly quiet: boolean;
  /** How long rspamd may be away. */
  readonly waitMs: number;
}

/** One of so many messages is proven; `relearn` keeps its sources. */
const PROVE_EVERY = 100;

/**
 * @returns the exit code: 0, 1 when something failed for good, 75 when something is left
 * @throws {OperatorError} when there is no source, sources overlap, one is in use, or the journal is
 *   unfit
 */
export async function relearn(options: RelearnOptions): Promise<ExitCode> {
  const { flags, config } = options;
  checkSources(flags);
  const paths = [...flags.dirs, ...flags.spam, ...flags.ham].filter((each) => each !== STDIN);
  const release = await lockSpools(paths, config.spool);
  try {
    return flags.dryRun ? await readAll(options) : await learnAll(options);
  } finally {
    release();
  }
}

/** Reads everything, and posts nothing. */
async function readAll(options: RelearnOptions): Promise<ExitCode> {
  const { flags, err } = options;
  const done =
    flags.journal === undefined
      ? undefined
      : await Journal.peek(flags.journal, pathsByVerdict(flags));
  const sources = sourcesOf(options, (place) => done?.has(place) ?? false);
  const stats = new RunStats((named) => {
    err(`${failureLine(named)}\n`);
  });
  return dryRun({ ...options, ...flags, sources, stats });
}

async function learnAll(options: RelearnOptions): Promise<ExitCode> {
  const { flags, stop } = options;
  const journal =
    flags.journal === undefined
      ? undefined
      : await Journal.open(flags.journal, pathsByVerdict(flags));
  const parts = assemble(options, journal);
  const { sources, progress, run, gain } = parts;
  const counting = new AbortController();
  progress.start();
  try {
    await gain.begin(stop);
    for (const source of sources) void source.count(counting.signal);
    const startedAt = systemClock.monotonic();
    const ending = await run.run(stop);
    const learnedAt = systemClock.monotonic();
    progress.stop();
    await journal?.close();
    const summary = await summaryOf(options, parts, { ending, startedAt, learnedAt });
    report(options, summary);
    return summary.exitCode;
  } finally {
    counting.abort();
    gain.close();
    progress.stop();
  }
}

interface Parts {
  readonly sources: readonly Source[];
  readonly stats: RunStats;
  readonly progress: Progress;
  readonly store: BulkStore;
  readonly controllers: readonly Controller[];
  readonly run: BulkRun;
  readonly gain: BayesGain;
}

function assemble(options: RelearnOptions, journal: Journal | undefined): Parts {
  const { config, flags, err, errIsTerminal } = options;
  const clock = systemClock;
  const sources = sourcesOf(options, (place) => journal?.has(place) ?? false);
  const stats = new RunStats((named) => {
    progress.say(failureLine(named));
  });
  const progress = new Progress({
    kind: flags.quiet ? 'none' : errIsTerminal ? 'bar' : 'lines',
    stats,
    total: () => expectedOf(sources, flags.limit),
    clock,
    write: err,
  });
  const store = new BulkStore((place, verdict, finish) => {
    stats.finished(place, verdict, finish);
    const { kind } = finish;
    // What lacks its proof is not done for good: the same command posts it once more.
    if (kind === 'learned' && !finish.proven) return;
    if (kind !== 'quarantined') journal?.add(kind, verdict, place);
  }, stats.held.bind(stats));
  const trainers = createTrainers(config, { bulk: flags.bulk });
  const log = proseLog(progress);
  const controllers = trainers.map(
    (trainer) => new Controller({ trainer, clock, random: Math.random, log }),
  );
  const run = new BulkRun({
    ...{ sources, store, controllers, clock, random: Math.random, log },
    concurrency: flags.concurrency,
    maxAttempts: config.learning.maxAttempts,
    proveEvery: flags.proveAll ? 1 : PROVE_EVERY,
    limit: flags.limit,
    waitMs: flags.waitMs,
    shutdownMs: config.shutdownMs,
    onFound: (found, { verdict }) => {
      stats.found(found, verdict);
    },
  });
  const { learned } = stats.counts;
  const gain = new BayesGain({
    ...{ trainers, clock },
    postedSoFar: () => ({ spam: learned.spam + store.size, ham: learned.ham + store.size }),
  });
  return { sources, stats, progress, store, controllers, run, gain };
}

interface RunTimes {
  readonly ending: Ending;
  readonly startedAt: number;
  readonly learnedAt: number;
}

/** Waits for Bayes' own count, unless the run was given up. */
async function summaryOf(
  { args, flags, stop, err }: RelearnOptions,
  { stats, store, controllers, run, gain }: Parts,
  { ending, startedAt, learnedAt }: RunTimes,
): Promise<Summary> {
  const isOver = ending === 'complete' || ending === 'limited';
  if (isOver && stats.posted > 0 && !flags.quiet) {
    err("kopano-learnd: waiting for rspamd's own count, which it refreshes every 30 to 60 s\n");
  }
  const confirmed = await gain.end({
    learned: stats.counts.learned,
    wantsFresh: isNearlyAllKnown(stats),
    stop: isOver ? stop : AbortSignal.abort(),
  });
  const [general = 'its turn did not come'] = controllers.flatMap((each) => each.reason ?? []);
  return summarize({
    stats,
    ending,
    left: [...store.places()].map((place) => ({ place, reason: run.errorOf(place) ?? general })),
    gain: confirmed,
    learningMs: learnedAt - startedAt,
    confirmingMs: systemClock.monotonic() - learnedAt,
    resume: ['kopano-learnd', ...args.map(inShell)].join(' '),
  });
}

function report({ flags, out, err }: RelearnOptions, summary: Summary): void {
  out(flags.json ? `${JSON.stringify(summary)}\n` : inWords(summary));
  if (summary.resume !== null && flags.journal === undefined) {
    err('kopano-learnd: without --journal FILE the same command posts everything once more\n');
  }
}

function failureLine({ place, reason }: Named): string {
  return `kopano-learnd: failed: ${place}: ${reason}`;
}

function sourcesOf(options: RelearnOptions, isDone: (place: string) => boolean): Source[] {
  const { flags, config, stdin } = options;
  const reading: ReadingOptions = { maxBytes: config.spool.maxBytes, isDone, stdin };
  return [
    ...archiveSources(flags.dirs, reading),
    ...flags.spam.map((path) => new PathSource(path, 'spam', reading)),
    ...flags.ham.map((path) => new PathSource(path, 'ham', reading)),
  ];
}

function expectedOf(sources: readonly Source[], limit: number): number | undefined {
  let sum = 0;
  for (const { expected } of sources) {
    if (expected === undefined) return undefined;
    sum += expected;
  }
  return Math.min(Math.round(sum), limit);
}

/** The log of the delivery, for people: what becomes of single messages is in the summary. */
function proseLog(progress: Progress): Log {
  const failed = new Set<unknown>();
  return (_severity, event, message, fields) => {
    const controller = fields?.['controller'];
    switch (event) {
      case 'controller.up':
        if (failed.delete(controller)) progress.say(`kopano-learnd: ${message}`);
        break;
      case 'controller.limited':
        progress.say(`kopano-learnd: ${message}`);
        break;
      case 'controller.down':
      case 'controller.misconfigured':
      case 'controller.unproven':
        failed.add(controller);
        progress.say(`kopano-learnd: waiting: ${message}`);
        break;
      case 'daemon.bug':
        progress.say(`kopano-learnd: ${message} ${String(fields?.['stack'])}`);
        break;
      default:
        break;
    }
  };
}
