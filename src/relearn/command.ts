import { systemClock } from '../clock.ts';
import { say } from '../command-options.ts';
import type { CommandOptions } from '../command-options.ts';
import type { Config } from '../config.ts';
import { Controller } from '../delivery/controller.ts';
import { EXIT, OperatorError } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import { FILTER_TITLES } from '../filter.ts';
import type { Filter } from '../filter.ts';
import type { Log, LogEvent } from '../logger.ts';
import { inShell } from '../text.ts';
import { createTrainers } from '../trainers/create.ts';
import { refuseRoot } from '../trainers/spamassassin/sa-learn.ts';
import { userByFields } from '../user.ts';
import type { FindUser } from '../user.ts';
import { bayesBefore } from './bayes-gain.ts';
import { dryRun } from './dry-run.ts';
import { Journal } from './journal.ts';
import type { JournalSources } from './journal.ts';
import { Progress } from './progress.ts';
import { BulkRun } from './run.ts';
import { Sample, sampleResult } from './sample.ts';
import type { SampleResult } from './sample.ts';
import { expectedOf } from './sources/alternate.ts';
import { namedSources } from './sources/named-sources.ts';
import { pathsByVerdict, pathsOf, sortedSources } from './sources/source-arguments.ts';
import type { SortedSources, SourceArguments } from './sources/source-arguments.ts';
import { STDIN } from './sources/source.ts';
import type { Source } from './sources/source.ts';
import { lockSpools } from './spool-locks.ts';
import { RunStats } from './stats.ts';
import type { Named } from './stats.ts';
import { inWords, summarize } from './summary.ts';

/**
 * `kopano-learnd relearn`: teaches a whole archive, once. Sources in, summary out; the messages are
 * delivered as the daemon's are. Standard output gets the summary, standard error everything else.
 */
interface RelearnOptions extends Pick<
  CommandOptions,
  'args' | 'stop' | 'stdin' | 'terminal' | 'out' | 'err' | 'errTerminal'
> {
  readonly config: Config;
  readonly flags: RelearnFlags;
}

/** As commander hands them over. */
export interface RelearnFlags extends SourceArguments {
  readonly concurrency: number;
  readonly journal?: string;
  readonly dryRun: boolean;
  /** At most so many messages are posted. */
  readonly limit?: number;
  readonly bulk: boolean;
  readonly proveAll: boolean;
  /** At most so many are posted again at the end. */
  readonly sample: number;
  /** Waits until Bayes' own count shows what was learned. */
  readonly confirm: boolean;
  /** Whose memory learns all of it. @defaultValue LEARN_USER_HEADER says */
  readonly user?: string;
  readonly json: boolean;
  readonly quiet: boolean;
  /** How long rspamd may be away, in seconds. @defaultValue {@link BulkRunOptions.waitMs} */
  readonly wait?: number;
}

interface SortedOptions extends RelearnOptions {
  readonly sorted: SortedSources;
}

/** One of so many messages is proven; `relearn` keeps its sources. */
const PROVE_EVERY = 100;
const SAMPLE_WAIT_MS = 10_000;
const CONFIRMING =
  "kopano-learnd: waits up to 62 s for rspamd's own count, which it refreshes every 30 to 60 s (--confirm)";
const WORST_FIRST: readonly ExitCode[] = [EXIT.failure, EXIT.temporary];
const WITHOUT_JOURNAL =
  'kopano-learnd: without --journal FILE the same command posts everything once more';

/**
 * @returns the exit code: 0, 1 when something failed for good, 75 when something is left
 * @throws {OperatorError} when there is no source, sources overlap, one is in use, or the journal is
 *   unfit
 */
export async function relearn(options: RelearnOptions): Promise<ExitCode> {
  const { verdicts } = options.config.spool;
  const sorted = sortedSources(options.flags, verdicts, 'relearn');
  const files = pathsOf(sorted).filter((each) => each !== STDIN);
  const release = await lockSpools([...sorted.dirs, ...files], options.config.spool);
  try {
    return await (options.flags.dryRun ? readAll : learnAll)({ ...options, sorted });
  } finally {
    release();
  }
}

/** Reads everything, and posts nothing. */
async function readAll(options: SortedOptions): Promise<ExitCode> {
  const { config, flags } = options;
  const journal = journalOf(config.trainers[0] ?? 'rspamd', options);
  const isDone = journal && (await Journal.peek(...journal));
  const stats = new RunStats(config.spool.verdicts, (named) => say(options, failureLine(named)));
  return dryRun({
    ...options,
    json: flags.json,
    limit: flags.limit ?? Infinity,
    sources: sourcesOf(options, isDone),
    stats,
  });
}

/** Teaches the filters, one after the other. */
async function learnAll(options: SortedOptions): Promise<ExitCode> {
  const { config, flags, sorted, stop } = options;
  refuseRoot(config);
  const isSeveral = config.trainers.length > 1;
  if (isSeveral && pathsOf(sorted).includes(STDIN)) {
    throw new OperatorError({
      code: 'relearn.stdin-once',
      message: `standard input can be read once, and ${config.trainers.join(' and ')} are to be taught`,
      hint: `run this once for each, with LEARN_TRAINERS=${config.trainers[0] ?? ''} before it, or give a file`,
      exitCode: EXIT.usage,
    });
  }
  const codes: ExitCode[] = [];
  for (const filter of config.trainers) {
    if (isSeveral && !flags.quiet) say(options, `kopano-learnd: teaches ${FILTER_TITLES[filter]}`);
    codes.push(await teach(filter, options));
    if (stop.aborted) break;
  }
  return WORST_FIRST.find((code) => codes.includes(code)) ?? EXIT.done;
}

/** The journal of one filter: what one has learned says nothing of the other. */
function journalOf(
  filter: Filter,
  { config, flags, sorted }: SortedOptions,
): readonly [path: string, sources: JournalSources] | undefined {
  if (flags.journal === undefined) return undefined;
  const { spam, ham, ...others } = pathsByVerdict(sorted);
  // Another LEARN_CLASSES makes no other sources, as long as nothing is named for its classes.
  const further = Object.entries(others).filter(([, paths]) => paths.length > 0);
  const ending = filter === 'rspamd' || config.trainers.length === 1 ? '' : `.${filter}`;
  const sources = {
    spam,
    ham,
    further: further.length > 0 ? Object.fromEntries(further) : undefined,
    user: flags.user,
    trainer: filter === 'rspamd' ? undefined : filter,
  };
  return [flags.journal + ending, sources];
}

async function teach(filter: Filter, options: SortedOptions): Promise<ExitCode> {
  const { flags, args, stop, out, terminal } = options;
  const named = journalOf(filter, options);
  const journal = named && (await Journal.open(...named));
  const { trainers, sources, stats, progress, run, postAgain } = prepare(filter, options, journal);
  try {
    const gainOf = await bayesBefore(trainers);
    progress.start();
    await Promise.all(sources.map((source) => source.count(stop)));
    const startedAt = systemClock.monotonic();
    const ending = await run.run(stop);
    const learnedAt = systemClock.monotonic();
    progress.stop();
    const closing = journal?.close();
    // What was learned is told all the same, and first.
    await closing?.catch(() => undefined);
    const isOver = ending === 'complete' || ending === 'limited';
    const sample = isOver ? await postAgain(stop) : undefined;
    const isConfirmed = isOver && flags.confirm && filter === 'rspamd';
    if (isConfirmed && stats.posted > 0 && !flags.quiet) say(options, CONFIRMING);
    const summary = summarize({
      filter,
      stats,
      ending,
      left: run.left,
      gain: await gainOf(stats, isConfirmed ? stop : AbortSignal.abort()),
      sample,
      userless: run.userless,
      learningMs: learnedAt - startedAt,
      confirmingMs: systemClock.monotonic() - learnedAt,
      resume: ['kopano-learnd', ...args.map(inShell)].join(' '),
    });
    if (flags.json) out(`${JSON.stringify(summary)}\n`);
    else out(inWords(summary, terminal?.columns ?? Infinity));
    if (summary.resume !== null && journal === undefined) say(options, WITHOUT_JOURNAL);
    await closing;
    return summary.exitCode;
  } finally {
    progress.stop();
  }
}

/** The parts of a run, none of them at work yet. */
function prepare(filter: Filter, options: SortedOptions, journal: Journal | undefined) {
  const { config, flags, err, errTerminal } = options;
  const { verdicts } = config.spool;
  const { limit = Infinity, wait } = flags;
  const waitMs = wait === undefined ? undefined : wait * 1_000;
  const sources = sourcesOf(options, (place) => journal?.has(place) ?? false);
  const stats = new RunStats(verdicts, (named) => progress.say(failureLine(named)));
  const progress: Progress = new Progress({
    err,
    errTerminal,
    isQuiet: flags.quiet,
    clock: systemClock,
    stats,
    acknowledged: () => run.acknowledged,
    total: () => expectedOf(sources, limit),
  });
  const common = { clock: systemClock, random: Math.random, log: proseLog(progress) };
  const trainers = createTrainers(
    { ...config, trainers: [filter] },
    { bulk: flags.bulk, isSparse: !flags.proveAll },
  );
  const drawn = new Sample(flags.sample, Math.random);
  const settings = {
    ...common,
    concurrency: trainers[0]?.concurrency ?? flags.concurrency,
    findUser: trainers[0]?.hasUsers === true ? findUserOf(options) : undefined,
    controllers: trainers.map((trainer) => new Controller({ ...common, trainer })),
    maxAttempts: config.learning.maxAttempts,
    shutdownMs: config.shutdownMs,
  };
  const run: BulkRun = new BulkRun({
    ...settings,
    sources,
    stats,
    journal,
    drawn,
    limit,
    waitMs,
    proveEvery: flags.proveAll ? 1 : PROVE_EVERY,
  });
  /** Posts the sample again. */
  const postAgain = async (stop: AbortSignal): Promise<SampleResult | undefined> => {
    const again = { sources: drawn.sources(), stats: new RunStats(verdicts) };
    const bounds = { limit: Infinity, waitMs: waitMs ?? SAMPLE_WAIT_MS, proveEvery: 1 };
    await new BulkRun({ ...settings, ...again, ...bounds }).run(stop);
    return sampleResult(again.stats);
  };
  return { trainers, sources, stats, progress, run, postAgain };
}

function findUserOf({ flags: { user }, config }: RelearnOptions): FindUser | undefined {
  return user === undefined ? userByFields(config.learning.userFields) : () => user;
}

function failureLine({ place, reason }: Named): string {
  return `kopano-learnd: failed: ${place}: ${reason}`;
}

function sourcesOf(
  { sorted, config, stdin }: SortedOptions,
  isDone: (place: string) => boolean = () => false,
): readonly Source[] {
  return namedSources(sorted, { maxBytes: config.spool.maxBytes, isDone, stdin });
}

/** What is told of the delivery; a run that waits goes on by itself. */
const TOLD: Partial<Record<LogEvent, '' | 'waiting: '>> = {
  'controller.down': 'waiting: ',
  'controller.misconfigured': 'waiting: ',
  'controller.unproven': 'waiting: ',
  'controller.limited': '',
  'controller.outdated': '',
  'daemon.bug': '',
};

/** The log of the delivery, for people: what becomes of single messages is in the summary. */
function proseLog(progress: Progress): Log {
  let hasWaited = false;
  return (_severity, event, message, fields) => {
    const lead = event === 'controller.up' && hasWaited ? '' : TOLD[event];
    if (lead === undefined) return;
    hasWaited ||= lead !== '';
    const more = ['cure', 'stack'].flatMap((name) => fields?.[name] ?? []);
    progress.say(`kopano-learnd: ${[lead + message, ...more].join('; ')}`);
  };
}
