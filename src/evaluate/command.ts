import { chmodSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { systemClock } from '../clock.ts';
import type { Config, Environment } from '../config.ts';
import { EXIT } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import { expectedOf } from '../relearn/sources/alternate.ts';
import { namedSources } from '../relearn/sources/named-sources.ts';
import { sortedSources } from '../relearn/sources/source-arguments.ts';
import type { SortedSources, SourceArguments } from '../relearn/sources/source-arguments.ts';
import type { Terminal } from '../text.ts';
import { VERDICTS } from '../verdict.ts';
import { Collection } from './collection.ts';
import type { Message } from './collection.ts';
import { lotsOf } from './copies.ts';
import { crossValidate, leastTaught, partsOf } from './cross-validation.ts';
import type { Part } from './cross-validation.ts';
import { rankDisputed } from './disputed.ts';
import { evaluationOf } from './evaluation.ts';
import type { Evaluation, Findings } from './evaluation.ts';
import { interrupted, onDisk, sameOutput, shutFolder, tooFew } from './faults.ts';
import { Laboratory, serverPrograms } from './laboratory.ts';
import type { ServerPrograms } from './laboratory.ts';
import { OutputFile } from './output-file.ts';
import { WorkProgress } from './progress.ts';
import { readMessages } from './reading.ts';
import { pathList, relearnCommands } from './relearn-recipe.ts';
import { siteBayes } from './site-bayes.ts';
import { judgeInTimeOrder } from './time-order.ts';
import type { Work } from './time-order.ts';
import { inWords } from './words.ts';

/**
 * `kopano-learnd evaluate`: what Bayes makes of the judgements of an archive, on a private filter. The
 * site's own is neither asked nor taught.
 */
interface EvaluateOptions {
  readonly config: Config;
  readonly flags: EvaluateFlags;
  readonly environment: Environment;
  readonly stop: AbortSignal;
  readonly stdin: () => AsyncIterable<Buffer>;
  /** Standard output: the evaluation. */
  readonly out: (text: string) => void;
  /** Standard error: everything else. */
  readonly err: (text: string) => void;
  /** Where standard error is seen; `undefined` for a pipe or a file. */
  readonly errTerminal: Terminal | undefined;
}

export interface EvaluateFlags extends SourceArguments {
  readonly folds: number;
  readonly seed: number;
  /** At most so many messages are read. */
  readonly limit?: number;
  /** Where the paths of the disputed messages go. */
  readonly out?: string;
  /** Where the page goes. */
  readonly html?: string;
  readonly json: boolean;
  readonly quiet: boolean;
}

/**
 * @returns the exit code: 0, or 1 when something in the sources could not be read
 * @throws {OperatorError} `usage.*` and `evaluate.*`
 */
export async function evaluate(options: EvaluateOptions): Promise<ExitCode> {
  const { flags } = options;
  const sorted = sortedSources(flags, VERDICTS, 'evaluate');
  const programs = serverPrograms(options.environment['PATH']);
  const { quiet: isQuiet } = flags;
  const [out, html] = [flags.out, flags.html].map((path) => path && resolve(path));
  if (out !== undefined && out === html) throw sameOutput(out);
  using list = flags.out === undefined ? undefined : new OutputFile(flags.out);
  using page = flags.html === undefined ? undefined : new OutputFile(flags.html);
  const progress = new WorkProgress(options, isQuiet, systemClock);
  const folder = temporaryFolder();
  // A second signal ends the process at once; `timeout` sends two.
  const tidyUp = (): void => {
    rmSync(folder, { recursive: true, force: true });
    list?.[Symbol.dispose]();
    page?.[Symbol.dispose]();
  };
  process.once('exit', tidyUp);
  try {
    const findings = await findingsOf({ ...options, sorted }, { programs, folder, progress });
    progress.stop();
    const faults: unknown[] = [];
    const written = list && tried(() => writeList(list, findings, flags.out ?? '', sorted), faults);
    const evaluation = { ...evaluationOf(findings), ...(written ?? NOTHING_WRITTEN) };
    findings.collection.close();
    // What an hour of work came to is told, whatever the disk says of the files.
    options.out(flags.json ? `${JSON.stringify(evaluation)}\n` : inWords(evaluation));
    if (page !== undefined) {
      const { pageOf } = await import('./page/page.ts');
      const text = pageOf(evaluation, minuteOf(systemClock.wall()));
      tried(() => page.publish(text), faults);
    }
    if (faults.length > 0) throw faults[0];
    return evaluation.messages.beside.unreadable > 0 ? EXIT.failure : EXIT.done;
  } catch (error) {
    if (options.stop.aborted) throw interrupted();
    throw error;
  } finally {
    progress.stop();
    process.off('exit', tidyUp);
    tidyUp();
  }
}

function tried<T>(write: () => T, faults: unknown[]): T | undefined {
  try {
    return write();
  } catch (error) {
    faults.push(error);
    return undefined;
  }
}

const NOTHING_WRITTEN = { outFile: null, relearn: [] };

/** `2026-03-14 09:30 UTC`. */
function minuteOf(time: number): string {
  return `${new Date(time).toISOString().replace('T', ' ').slice(0, 'YYYY-MM-DD HH:MM'.length)} UTC`;
}

function temporaryFolder(): string {
  return onDisk('the temporary folder', () => {
    const shut = shutForOthers(resolve(tmpdir()));
    if (process.geteuid?.() === 0 && shut !== undefined) throw shutFolder(shut);
    const folder = mkdtempSync(join(tmpdir(), 'kopano-learnd-evaluate-'));
    // The servers of root are somebody else.
    chmodSync(folder, 0o711);
    return folder;
  });
}

/** The outermost folder of a path that its owner or group alone may enter. */
function shutForOthers(folder: string): string | undefined {
  const parent = dirname(folder);
  const outer = parent === folder ? undefined : shutForOthers(parent);
  return outer ?? ((statSync(folder).mode & 0o001) === 0 ? folder : undefined);
}

interface SortedOptions extends EvaluateOptions {
  readonly sorted: SortedSources;
}

/** What the work is done with. */
interface Tools {
  readonly programs: ServerPrograms;
  /** The temporary one. */
  readonly folder: string;
  readonly progress: WorkProgress;
}

/** Reads, judges in time order, and cross-validates. */
async function findingsOf(options: SortedOptions, tools: Tools): Promise<Findings> {
  const { flags, environment, stop } = options;
  const { programs, folder, progress } = tools;
  const { folds, seed } = flags;
  const collection = new Collection(folder);
  const hearers: Hearers = {
    onFailed: (place, reason) => progress.say(`kopano-learnd: failed: ${place}: ${reason}`),
    onMessage: () => progress.step(),
  };
  const reading = await readAll(options, collection, progress, hearers);
  const { order, copyKeys, duplicates } = lotsOf(collection);
  requireEnough(collection, order, folds);
  progress.begin('starting', () => undefined);
  const site = await siteBayes(environment['PATH'], stop);
  stop.throwIfAborted();
  const { settings: bayes } = site;
  await using laboratory = await Laboratory.start({ folder, programs, bayes, stop });
  progress.begin('time order', () => order.length);
  const work = { collection, laboratory, ...hearers };
  const timeOrder = await timed(() => judgeInTimeOrder(work, order));
  const { messages } = timeOrder;
  requireEnough(collection, messages, folds);
  const parts = partsOf(collection, messages, copyKeys, flags);
  const minLearns = await letItSpeak(work, parts, bayes);
  const onPart = (part: number, posts: number): void => {
    progress.begin(`fold ${part} of ${folds}`, () => posts);
  };
  const validation = await timed(() => crossValidate(work, parts, onPart));
  return {
    filter: { version: laboratory.version ?? null, ...site },
    collection,
    reading,
    duplicates,
    timeOrder,
    crossValidation: { ...validation, folds, seed, minLearns },
    disputed: rankDisputed(collection, validation),
  };
}

type Hearers = Pick<Work, 'onFailed' | 'onMessage'>;

async function readAll(
  { config, flags, sorted, stdin, stop }: SortedOptions,
  collection: Collection,
  progress: WorkProgress,
  hearers: Hearers,
) {
  const { limit = Infinity } = flags;
  const reading = { maxBytes: config.spool.maxBytes, isDone: () => false, stdin };
  const sources = namedSources(sorted, reading);
  const counting = new AbortController();
  progress.begin('reading', () => expectedOf(sources, limit));
  for (const source of sources) void source.count(counting.signal);
  try {
    const now = systemClock.wall();
    return await readMessages({ sources, collection, limit, now, stop, ...hearers });
  } finally {
    counting.abort();
  }
}

/** @throws {OperatorError} `evaluate.too-few` when a class has less than two messages for each fold */
function requireEnough(collection: Collection, messages: readonly Message[], folds: number): void {
  for (const verdict of VERDICTS) {
    const count = messages.filter((message) => collection.verdict(message) === verdict).length;
    if (count < 2 * folds) throw tooFew(verdict, count, folds);
  }
}

/**
 * Bayes says nothing before it has learned `min_learns` of each class. Where a fold's filter is taught
 * fewer, it is made to speak: what the archive says of its own judgements is asked, whatever a filter
 * of that size would do.
 * @returns the `min_learns` of the folds
 */
async function letItSpeak(
  { collection, laboratory }: Work,
  parts: readonly Part[],
  bayes: Evaluation['filter']['settings'],
): Promise<number> {
  if (leastTaught(collection, parts) >= bayes.min_learns) return bayes.min_learns;
  await laboratory.change({ ...bayes, min_learns: 1 });
  return 1;
}

async function timed<T extends object>(
  work: () => Promise<T>,
): Promise<T & { readonly seconds: number }> {
  const startedAt = systemClock.monotonic();
  const result = await work();
  return { ...result, seconds: (systemClock.monotonic() - startedAt) / 1_000 };
}

/** Writes the paths of the disputed messages, the most contradicted first. */
function writeList(
  file: OutputFile,
  { collection, disputed }: Findings,
  name: string,
  sources: SortedSources,
): Pick<Evaluation, 'outFile' | 'relearn'> {
  const { content, byVerdict } = pathList(
    collection,
    disputed.map(({ message }) => message),
  );
  file.publish(content);
  const paths = byVerdict.spam + byVerdict.ham;
  return { outFile: { name, paths }, relearn: relearnCommands(name, sources, byVerdict) };
}
