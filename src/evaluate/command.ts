import { chmodSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { systemClock } from '../clock.ts';
import type { Config, Environment } from '../config.ts';
import { EXIT, errnoOf } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import { expectedOf, namedSources } from '../relearn/sources/named-sources.ts';
import { sortedSources } from '../relearn/sources/source-arguments.ts';
import type { SourceArguments } from '../relearn/sources/source-arguments.ts';
import type { Terminal } from '../text.ts';
import { VERDICTS } from './two-classes.ts';
import { Collection } from './collection.ts';
import { crossValidate, leastTaught } from './cross-validation.ts';
import type { CrossValidationPlan } from './cross-validation.ts';
import { rankDisputed } from './disputed.ts';
import { evaluationOf } from './evaluation.ts';
import type { Evaluation, Findings } from './evaluation.ts';
import { diskFault, interrupted, sameOutput, shutFolder, tooFew } from './faults.ts';
import { Laboratory, serverPrograms } from './laboratory.ts';
import type { ServerPrograms } from './laboratory.ts';
import { lotsOf } from './lots.ts';
import { OutputFile } from './output-file.ts';
import { WorkProgress } from './progress.ts';
import { readMessages } from './reading.ts';
import { pathList, relearnCommands } from './relearn-recipe.ts';
import { siteBayes } from './site-bayes.ts';
import { judgeInTimeOrder } from './time-order.ts';
import { inWords } from './words.ts';

/**
 * `kopano-learnd evaluate`: what Bayes makes of the judgements of an archive, on a private filter. The
 * site's own is neither asked nor taught.
 */
export interface EvaluateOptions {
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
  readonly limit: number;
  /** Where the paths of the disputed messages go. */
  readonly outFile: string | undefined;
  /** Where the page goes. */
  readonly html: string | undefined;
  readonly json: boolean;
  readonly quiet: boolean;
}

/** As commander hands the flags over. */
export interface EvaluateWords extends Omit<
  EvaluateFlags,
  'dirs' | 'class' | 'limit' | 'outFile' | 'html'
> {
  readonly limit?: number;
  readonly out?: string;
  readonly html?: string;
}

export function flagsOf(dirs: readonly string[], words: EvaluateWords): EvaluateFlags {
  const { limit = Infinity, out, html, ...rest } = words;
  return { ...rest, dirs, class: [], limit, outFile: out, html };
}

/**
 * @returns the exit code: 0, or 1 when something in the sources could not be read
 * @throws {OperatorError} `usage.*` and `evaluate.*`
 */
export async function evaluate(options: EvaluateOptions): Promise<ExitCode> {
  const flags = { ...options.flags, ...sortedSources(options.flags, VERDICTS, 'evaluate') };
  const programs = serverPrograms(options.environment['PATH']);
  const [outFile, html] = [flags.outFile, flags.html].map((path) => path && resolve(path));
  if (outFile !== undefined && outFile === html) throw sameOutput(outFile);
  using list = flags.outFile === undefined ? undefined : new OutputFile(flags.outFile);
  using page = flags.html === undefined ? undefined : new OutputFile(flags.html);
  const progress = progressOf(options);
  const folder = temporaryFolder();
  // A second signal ends the process at once; `timeout` sends two.
  const tidyUp = (): void => {
    rmSync(folder, { recursive: true, force: true });
    list?.[Symbol.dispose]();
    page?.[Symbol.dispose]();
  };
  process.once('exit', tidyUp);
  try {
    const findings = await findingsOf({ ...options, flags }, { programs, folder, progress });
    progress.stop();
    const faults: unknown[] = [];
    const written = list && tried(() => writeList(list, findings, flags), faults);
    const evaluation = { ...evaluationOf(findings), ...(written ?? NOTHING_WRITTEN) };
    findings.collection.close();
    // What an hour of work came to is told, whatever the disk says of the files.
    options.out(flags.json ? `${JSON.stringify(evaluation)}\n` : inWords(evaluation));
    if (page !== undefined) {
      const { pageOf } = await import('./page/page.ts');
      const text = pageOf(evaluation, minuteOf(systemClock.wall()));
      tried(() => {
        page.publish(text);
      }, faults);
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
  try {
    const shut = shutForOthers(resolve(tmpdir()));
    if (process.geteuid?.() === 0 && shut !== undefined) throw shutFolder(shut);
    const folder = mkdtempSync(join(tmpdir(), 'kopano-learnd-evaluate-'));
    // The servers of root are somebody else.
    chmodSync(folder, 0o711);
    return folder;
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    throw diskFault(error, 'the temporary folder');
  }
}

/** The outermost folder of a path that its owner or group alone may enter. */
function shutForOthers(folder: string): string | undefined {
  const parent = dirname(folder);
  const outer = parent === folder ? undefined : shutForOthers(parent);
  return outer ?? ((statSync(folder).mode & 0o001) === 0 ? folder : undefined);
}

function progressOf({ flags, err, errTerminal }: EvaluateOptions): WorkProgress {
  return new WorkProgress({
    kind: flags.quiet ? 'none' : errTerminal === undefined ? 'lines' : 'bar',
    clock: systemClock,
    write: err,
    columns: () => errTerminal?.columns ?? Infinity,
  });
}

/** What the work is done with. */
interface Tools {
  readonly programs: ServerPrograms;
  /** The temporary one. */
  readonly folder: string;
  readonly progress: WorkProgress;
}

/** Reads, judges in time order, and cross-validates. */
async function findingsOf(options: EvaluateOptions, tools: Tools): Promise<Findings> {
  const { flags, environment, stop } = options;
  const { programs, folder, progress } = tools;
  const { folds, seed } = flags;
  const onFailed = (place: string, reason: string): void => {
    progress.say(`kopano-learnd: failed: ${place}: ${reason}`);
  };
  const onMessage = (): void => {
    progress.step();
  };
  const collection = newCollection(folder);
  const reading = await readAll(options, collection, { onFailed, onMessage, progress });
  const { order, keys, duplicates } = lotsOf(collection);
  requireEnough(collection, order, folds);
  progress.begin('starting', () => undefined);
  const site = await siteBayes(environment['PATH'], stop);
  stop.throwIfAborted();
  const { settings: bayes } = site;
  await using laboratory = await Laboratory.start({ folder, programs, bayes, stop });
  progress.begin('time order', () => order.length);
  const work = { collection, laboratory, onMessage, onFailed };
  const timeOrder = await timed(() => judgeInTimeOrder({ ...work, order }));
  const { messages } = timeOrder;
  requireEnough(collection, messages, folds);
  const onFold = (fold: number, posts: number): void => {
    progress.begin(`fold ${fold} of ${folds}`, () => posts);
  };
  const plan = { ...work, messages, keys, folds, seed, onFold };
  const minLearns = await letItSpeak(plan, bayes);
  const validation = await timed(() => crossValidate(plan));
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

function newCollection(folder: string): Collection {
  try {
    return new Collection(folder);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    throw diskFault(error, 'the copies of the messages');
  }
}

async function readAll(
  { config, flags, stdin, stop }: EvaluateOptions,
  collection: Collection,
  hears: Pick<CrossValidationPlan, 'onFailed' | 'onMessage'> & { readonly progress: WorkProgress },
) {
  const { limit } = flags;
  const reading = { maxBytes: config.spool.maxBytes, isDone: () => false, stdin };
  const sources = namedSources(flags, VERDICTS, reading);
  const counting = new AbortController();
  hears.progress.begin('reading', () => expectedOf(sources, limit));
  for (const source of sources) void source.count(counting.signal);
  try {
    return await readMessages({
      ...hears,
      sources,
      collection,
      limit,
      now: systemClock.wall(),
      stop,
    });
  } finally {
    counting.abort();
  }
}

/** @throws {OperatorError} `evaluate.too-few` when a class has less than two messages for each fold */
function requireEnough(collection: Collection, messages: Uint32Array, folds: number): void {
  for (const verdict of VERDICTS) {
    const count = messages.filter((index) => collection.verdict(index) === verdict).length;
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
  plan: CrossValidationPlan,
  bayes: Evaluation['filter']['settings'],
): Promise<number> {
  const { spam, ham } = leastTaught(plan);
  if (Math.min(spam, ham) >= bayes.min_learns) return bayes.min_learns;
  await plan.laboratory.change({ ...bayes, min_learns: 1 });
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
  flags: EvaluateFlags,
): Pick<Evaluation, 'outFile' | 'relearn'> {
  const { content, byVerdict } = pathList(collection, disputed);
  file.publish(content);
  const name = flags.outFile ?? '';
  const paths = byVerdict.spam + byVerdict.ham;
  return { outFile: { name, paths }, relearn: relearnCommands(name, flags, byVerdict) };
}
