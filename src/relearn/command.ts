import path from 'node:path';
import { systemClock } from '../clock.ts';
import type { Config } from '../config.ts';
import { EXIT, OperatorError } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import { Controller } from '../learning/controller.ts';
import type { Log } from '../logger.ts';
import { archiveSources } from './sources/archive.ts';
import { alternate } from './sources/alternate.ts';
import { PathSource } from './sources/path-source.ts';
import type { ReadingOptions, Source } from './sources/source.ts';
import { Account } from './account.ts';
import type { Named } from './account.ts';
import { BayesGain } from './bayes-gain.ts';
import { BulkStore } from './bulk-store.ts';
import { Journal } from './journal.ts';
import type { JournalSources } from './journal.ts';
import { refuseOverlap } from './overlap.ts';
import { Progress } from './progress.ts';
import { BulkRun } from './run.ts';
import { inShell } from './shell.ts';
import { lockSpools } from './spool-locks.ts';
import { refuseUnsorted } from './unsorted.ts';
import { dryAsJson, dryInWords, inWords, isNearlyAllKnown, summarize } from './summary.ts';
import type { DryCount, Summary } from './summary.ts';
import { RspamdTrainer } from '../trainers/rspamd.ts';

/**
 * `kopano-learnd relearn`: teaches a whole archive, once. Sources in, summary out; the messages are
 * delivered by the daemon's own learning room.
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

export interface RelearnFlags {
  /** Folders that hold `spam/` and `ham/`. */
  readonly dirs: readonly string[];
  readonly spam: readonly string[];
  readonly ham: readonly string[];
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
  const { dirs, spam, ham } = flags;
  if (dirs.length + spam.length + ham.length === 0) throw noSource();
  if (dirs.includes('-')) throw stdinWithoutClass();
  if ([...spam, ...ham].filter((each) => each === '-').length > 1) throw stdinTwice();
  refuseUnsorted(dirs);
  refuseOverlap(journalSourcesOf(flags));
  const paths = [...dirs, ...spam, ...ham].filter((each) => each !== '-');
  const locks = await lockSpools(paths, config.spool);
  try {
    return flags.dryRun ? await dryRun(options) : await learnAll(options);
  } finally {
    locks.release();
  }
}

async function learnAll(options: RelearnOptions): Promise<ExitCode> {
  const { config, flags, stop, err, errIsTerminal } = options;
  const clock = systemClock;
  const journal =
    flags.journal === undefined
      ? undefined
      : await Journal.open(flags.journal, journalSourcesOf(flags));
  const sources = sourcesOf(options, (place) => journal?.has(place) ?? false);
  const account = new Account(({ place, reason }) => {
    progress.say(`kopano-learnd: failed: ${place}: ${reason}`);
  });
  const progress = new Progress({
    kind: flags.quiet ? 'none' : errIsTerminal ? 'bar' : 'lines',
    account,
    total: () => expectedOf(sources, flags.limit),
    clock,
    write: err,
  });
  const store = new BulkStore((place, verdict, finish) => {
    account.finished(place, verdict, finish);
    // What lacks its proof is not done for good: the same command posts it once more.
    if (finish.kind === 'learned' && finish.proven) journal?.add('learned', verdict, place);
    else if (finish.kind === 'duplicate') journal?.add('known', verdict, place);
    else if (finish.kind === 'refused') journal?.add('refused', verdict, place);
  }, account.held.bind(account));
  const trainers = config.rspamd.controllers.map(
    (controller) => new RspamdTrainer({ ...config.rspamd, controller, bulk: flags.bulk }),
  );
  const gain = new BayesGain({
    trainers,
    clock,
    postedSoFar: () => ({
      spam: account.counts.learned.spam + store.size,
      ham: account.counts.learned.ham + store.size,
    }),
  });
  let wasUp = false;
  const log = proseLog(progress, () => {
    // Where rspamd was away at the start, it tells now; later its count holds some of this run's.
    if (!wasUp) void gain.begin(stop);
    wasUp = true;
  });
  const controllers = trainers.map(
    (trainer) => new Controller({ trainer, clock, random: Math.random, log }),
  );
  const run = new BulkRun({
    sources,
    store,
    controllers,
    clock,
    random: Math.random,
    log,
    concurrency: flags.concurrency,
    maxAttempts: config.learning.maxAttempts,
    proveEvery: flags.proveAll ? 1 : PROVE_EVERY,
    limit: flags.limit,
    waitMs: flags.waitMs,
    shutdownMs: config.shutdownMs,
    onFound: (found, { verdict }) => {
      account.found(found, verdict);
    },
  });

  progress.start();
  const counting = new AbortController();
  try {
    await gain.begin(stop);
    for (const source of sources) void source.count(counting.signal);
    const startedAt = clock.monotonic();
    const ending = await run.run(stop);
    const learnedAt = clock.monotonic();
    progress.stop();
    await journal?.close();
    const isOver = ending === 'complete' || ending === 'limited';
    if (isOver && account.posted > 0 && !flags.quiet) {
      err("kopano-learnd: waiting for rspamd's own count, which it refreshes every 30 to 60 s\n");
    }
    const confirmed = await gain.end({
      learned: account.counts.learned,
      wantsFresh: isNearlyAllKnown(account),
      stop: isOver ? stop : AbortSignal.abort(),
    });
    const summary = summarize({
      account,
      ending,
      left: leftOver(store, controllers, run),
      gain: confirmed,
      learningMs: learnedAt - startedAt,
      confirmingMs: clock.monotonic() - learnedAt,
      resume: commandLine(options.args),
    });
    report(options, summary);
    return summary.exitCode;
  } finally {
    counting.abort();
    gain.close();
    progress.stop();
  }
}

/** What was read and not learned, and why not. */
function leftOver(store: BulkStore, controllers: readonly Controller[], run: BulkRun): Named[] {
  const [general = 'its turn did not come'] = controllers.flatMap((each) => each.reason ?? []);
  return [...store.places()].map((place) => ({ place, reason: run.errorOf(place) ?? general }));
}

function report({ flags, out, err }: RelearnOptions, summary: Summary): void {
  out(flags.json ? `${JSON.stringify(summary)}\n` : inWords(summary));
  if (summary.resume !== null && flags.journal === undefined) {
    err('kopano-learnd: without --journal FILE the same command posts everything once more\n');
  }
}

/** Reads everything, and posts nothing. */
async function dryRun(options: RelearnOptions): Promise<ExitCode> {
  const { flags, out, stop } = options;
  const done =
    flags.journal === undefined
      ? undefined
      : await Journal.peek(flags.journal, journalSourcesOf(flags));
  const sources = sourcesOf(options, (place) => done?.has(place) ?? false);
  const account = new Account(({ place, reason }) => {
    options.err(`kopano-learnd: failed: ${place}: ${reason}\n`);
  });
  const counts = new Map<Source, Record<(typeof FOUND_AS)[keyof typeof FOUND_AS], number>>();
  for (const source of sources) {
    counts.set(source, {
      messages: 0,
      notMail: 0,
      passedOver: 0,
      failed: 0,
      older: 0,
      doneBefore: 0,
    });
  }
  let messages = 0;
  for await (const { source, found } of alternate(sources)) {
    if (stop.aborted || (found.kind === 'message' && messages === flags.limit)) break;
    account.found(found, source.verdict);
    const count = counts.get(source);
    if (count === undefined) continue;
    if (found.kind === 'message') messages += 1;
    count[FOUND_AS[found.kind]] += 1;
  }
  const rows: DryCount[] = [...counts].map(([source, count]) => ({
    source: source.name,
    verdict: source.verdict,
    ...count,
  }));
  const exitCode = account.total('failed') > 0 ? EXIT.failure : EXIT.done;
  out(
    flags.json
      ? `${JSON.stringify(dryAsJson(rows, account, exitCode))}\n`
      : dryInWords(rows, account),
  );
  return exitCode;
}

const FOUND_AS = {
  message: 'messages',
  skipped: 'notMail',
  passed: 'passedOver',
  failed: 'failed',
  older: 'older',
  done: 'doneBefore',
} as const;

function sourcesOf(options: RelearnOptions, isDone: (place: string) => boolean): Source[] {
  const { flags, config, stdin } = options;
  const reading: ReadingOptions = { maxBytes: config.spool.maxBytes, isDone, stdin };
  return [
    ...(flags.dirs.length === 0 ? [] : archiveSources(flags.dirs, reading)),
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

/** The learning room's log, for people: what becomes of single messages is in the summary. */
function proseLog(progress: Progress, onUp: () => void): Log {
  const failed = new Set<unknown>();
  return (_severity, event, message, fields) => {
    const controller = fields?.['controller'];
    switch (event) {
      case 'controller.up':
        onUp();
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

/** What a journal belongs to: the same sources in the same roles, in any order. */
function journalSourcesOf({ dirs, spam, ham }: RelearnFlags): JournalSources {
  const absolute = (paths: readonly string[]): string[] =>
    paths.map((each) => (each === '-' ? each : path.resolve(each))).sort();
  return {
    spam: absolute([...dirs.map((dir) => path.join(dir, 'spam')), ...spam]),
    ham: absolute([...dirs.map((dir) => path.join(dir, 'ham')), ...ham]),
  };
}

/** The command as it is typed into a shell. */
function commandLine(args: readonly string[]): string {
  return ['kopano-learnd', ...args.map(inShell)].join(' ');
}

function noSource(): OperatorError {
  return new OperatorError({
    code: 'usage.no-source',
    message: 'relearn needs something to learn',
    hint: 'name a folder that holds spam/ and ham/, or give --spam PATH and --ham PATH; see kopano-learnd relearn --help',
    exitCode: EXIT.usage,
  });
}

function stdinWithoutClass(): OperatorError {
  return new OperatorError({
    code: 'usage.stdin-class',
    message: "'-' (standard input) doesn't say what it is",
    hint: 'give it as --spam - or --ham -',
    exitCode: EXIT.usage,
  });
}

function stdinTwice(): OperatorError {
  return new OperatorError({
    code: 'usage.stdin-twice',
    message: "'-' (standard input) is given twice",
    hint: 'standard input can be read once, as spam or as ham',
    exitCode: EXIT.usage,
  });
}
