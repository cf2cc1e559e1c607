import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { EXIT, OperatorError, errnoOf } from '../errors.ts';
import { installCommand } from '../host.ts';
import { Secret } from '../secret.ts';
import { PrivateRedis } from '../servers/private-redis.ts';
import { PrivateRspamd } from '../servers/private-rspamd.ts';
import type { BayesSettings } from '../servers/private-rspamd.ts';
import { findProgram } from '../servers/programs.ts';
import { clean } from '../text.ts';
import { BayesQuestion } from '../trainers/bayes-opinion.ts';
import { RspamdTrainer } from '../trainers/rspamd.ts';
import type { BaseVerdict } from '../verdict.ts';
import { diskFault } from './faults.ts';
import { OpinionFile } from './opinion-file.ts';

interface LaboratoryOptions {
  /** Where the servers keep their folders. */
  readonly folder: string;
  readonly programs: ServerPrograms;
  readonly bayes: BayesSettings;
  /** Both servers'. */
  readonly password: string;
  readonly stop: AbortSignal;
}

export interface ServerPrograms {
  readonly rspamd: string;
  readonly redis: string;
}

/** What became of a message that was taught. */
type Lesson = { readonly kind: 'learned' } | { readonly kind: 'known' | 'short' } | Failed;

/** What Bayes said of a message: how likely it is spam, 0.5 where it said nothing. */
type Judgement = { readonly kind: 'opinion'; readonly probability: number } | Failed;

/** What became of a message that was judged and then taught. */
type JudgedLesson =
  | { readonly kind: 'learned'; readonly probability: number }
  | Exclude<Lesson, { readonly kind: 'learned' }>;

/** rspamd could not take a message, again and again. */
interface Failed {
  readonly kind: 'failed';
  readonly reason: string;
}

/** Tries of a message, a second apart: its rspamd may have to start a new worker. */
const TRIES = 3;
const RETRY_MS = 1_000;
/** So many messages in a row that can't be taught or judged are not the messages' fault. */
const MOST_FAILURES = 10;
const TIMEOUT_MS = 60_000;

/**
 * Finds the servers' programs.
 * @throws {OperatorError} `evaluate.programs`, exit 78, with the packages to install
 */
export function serverPrograms(searchPath: string | undefined): ServerPrograms {
  const [rspamd, redis] = ['rspamd', 'redis-server'].map((name) => findProgram(name, searchPath));
  if (rspamd !== undefined && redis !== undefined) return { rspamd, redis };
  const missing = [rspamd ?? 'rspamd', redis ?? 'redis-server'].filter(
    (each) => each !== rspamd && each !== redis,
  );
  const packages = missing.join(' ');
  throw new OperatorError({
    code: 'evaluate.programs',
    message: `evaluate tries the messages on a private filter of its own, and ${missing.join(' and ')} can't be found on this machine`,
    hint: "install what is missing (the servers needn't run), or run evaluate where rspamd is, such as in rspamd's container with the volume of the archive: docker exec RSPAMD-CONTAINER kopano-learnd evaluate /path/of/the/archive",
    command: installCommand(
      packages,
      packages.replace('redis-server', 'redis').replace('rspamd', 'rspamd rspamd-controller'),
      packages.replace('redis-server', 'redis'),
    ),
    exitCode: EXIT.configuration,
  });
}

/**
 * The filter that is evaluated: a private rspamd and a private Redis in the temporary folder, which
 * nobody else may ask or teach. Both end with this process, however that ends (`servers/server-process.ts`).
 */
export class Laboratory implements AsyncDisposable {
  readonly #options: LaboratoryOptions;
  readonly #redis: PrivateRedis;
  #filter: Filter;
  #failures = 0;

  private constructor(options: LaboratoryOptions, redis: PrivateRedis, filter: Filter) {
    this.#options = options;
    this.#redis = redis;
    this.#filter = filter;
  }

  /**
   * Starts the servers.
   * @throws {OperatorError} `evaluate.server`, with the words of the one that doesn't start
   */
  static async start(options: Omit<LaboratoryOptions, 'password'>): Promise<Laboratory> {
    const { folder: parentFolder, programs, bayes } = options;
    const password = randomUUID();
    const redis = await started('redis-server', () =>
      PrivateRedis.start({
        ...{ parentFolder, password, program: programs.redis, runAs: ordinaryUser() },
      }),
    );
    try {
      const own = { ...options, password };
      return new Laboratory(own, redis, await startFilter(own, redis, bayes));
    } catch (error) {
      await redis[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** rspamd's version, once it has answered. */
  get version(): string | undefined {
    return this.#filter.trainer.version;
  }

  /** Teaches a message, whatever Bayes thinks of it already. */
  async learn(verdict: BaseVerdict, body: Buffer): Promise<Lesson> {
    return this.#tried<Lesson>(async () => {
      const example = { verdict, key: '', body };
      const outcome = await this.#filter.trainer.learn(example, this.#options.stop);
      switch (outcome.kind) {
        case 'learned':
          return { kind: 'learned' };
        case 'duplicate':
          return { kind: 'known' };
        case 'refused':
          return { kind: 'short' };
        default:
          return { kind: 'failed', reason: 'reason' in outcome ? outcome.reason : outcome.kind };
      }
    });
  }

  /** Teaches a message, and tells what Bayes thought of it just before. One at a time. */
  async judgeAndLearn(verdict: BaseVerdict, body: Buffer): Promise<JudgedLesson> {
    const { opinion } = this.#filter;
    opinion.clear();
    const lesson = await this.learn(verdict, body);
    if (lesson.kind !== 'learned') return lesson;
    const probability = opinion.read();
    if (probability !== undefined) return { kind: 'learned', probability };
    const reason = 'rspamd learned it, and did not say what Bayes thought of it';
    return { kind: 'failed', reason };
  }

  /** Asks Bayes, and teaches nothing. */
  async judge(body: Buffer): Promise<Judgement> {
    return this.#tried<Judgement>(async () => {
      const opinion = await this.#filter.question.ask(body, this.#options.stop);
      return opinion.kind === 'opinion' ? opinion : { ...opinion, kind: 'failed' };
    });
  }

  /** Forgets all that was learned. */
  async forget(): Promise<void> {
    try {
      // What was there is freed behind the answer: a large store takes Redis seconds.
      await this.#redis.command('FLUSHALL', 'ASYNC');
    } catch (error) {
      throw serverFault(`the private redis-server doesn't answer (${String(error)})`);
    }
  }

  /** Goes on with other settings of Bayes, in a new rspamd. */
  async change(bayes: BayesSettings): Promise<void> {
    await stopFilter(this.#filter);
    this.#filter = await startFilter(this.#options, this.#redis, bayes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await stopFilter(this.#filter);
    await this.#redis[Symbol.asyncDispose]();
  }

  async #tried<T extends Lesson | Judgement>(attempt: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries += 1) {
      this.#options.stop.throwIfAborted();
      const result = await attempt();
      this.#options.stop.throwIfAborted();
      if (result.kind !== 'failed') {
        this.#failures = 0;
        return result;
      }
      if (tries < TRIES && this.#redis.running && this.#filter.server.running) {
        await sleep(RETRY_MS, undefined, { signal: this.#options.stop });
        continue;
      }
      this.#failures += 1;
      this.#refuseToGoOn(result.reason);
      return result;
    }
  }

  /** One message may be too much for rspamd; all of them are not. */
  #refuseToGoOn(reason: string): void {
    const ended = [
      ...(this.#redis.running ? [] : ['redis-server']),
      ...(this.#filter.server.running ? [] : ['rspamd']),
    ];
    if (ended.length === 0 && this.#failures < MOST_FAILURES) return;
    const what =
      ended.length > 0
        ? `the private ${ended.join(' and ')} ended while it was at work (${reason})`
        : `the private rspamd takes no message: ${reason}`;
    throw serverFault(what);
  }
}

/** A running rspamd, and who speaks to it. */
interface Filter {
  readonly server: PrivateRspamd;
  readonly trainer: RspamdTrainer;
  readonly question: BayesQuestion;
  readonly opinion: OpinionFile;
}

async function startFilter(
  { folder: parentFolder, programs, password, stop }: LaboratoryOptions,
  { port: redisPort }: PrivateRedis,
  bayes: BayesSettings,
): Promise<Filter> {
  // Every message in flight listens.
  setMaxListeners(0, stop);
  const server = await started('rspamd', () =>
    PrivateRspamd.start({
      ...{ parentFolder, program: programs.rspamd, redisPort, bayes },
      ...{ redisPassword: password, password, secureIp: [] },
      isTerse: true,
      tellsOpinions: true,
      runAs: ordinaryUser(),
    }),
  );
  const url = `${server.url}/`;
  const controller = { name: url, url, socketPath: undefined };
  const secret = Secret.ofValue(password);
  const connection = { controller, password: secret, ca: undefined, timeoutMs: TIMEOUT_MS };
  return {
    server,
    trainer: new RspamdTrainer({ ...connection, bulk: true }),
    question: new BayesQuestion(connection),
    opinion: new OpinionFile(server.opinionFile),
  };
}

async function stopFilter({ server, opinion }: Filter): Promise<void> {
  opinion[Symbol.dispose]();
  await server[Symbol.asyncDispose]();
}

/** Debian's, Alpine's and Fedora's `nobody`. */
const NOBODY = 65_534;

/** Who the servers are: they read strangers' mail, which is nothing to do as root. */
function ordinaryUser() {
  return process.geteuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : undefined;
}

/** So much of what a server prints is shown: its last lines. */
const MOST_WORDS = 1_000;

async function started<T>(name: string, start: () => Promise<T>): Promise<T> {
  try {
    return await start();
  } catch (error) {
    if (errnoOf(error) === 'ENOSPC') throw diskFault(error, `what the private ${name} needs`);
    const words = error instanceof Error ? error.message : String(error);
    const lines = words.slice(-MOST_WORDS).split('\n').filter(Boolean);
    throw serverFault(
      `the private ${name} doesn't start: ${lines.map((line) => clean(line, MOST_WORDS)).join('\n  ')}`,
    );
  }
}

function serverFault(message: string): OperatorError {
  return new OperatorError({
    code: 'evaluate.server',
    message,
    hint: "mend what it says (memory, disk, the package's own configuration in /etc/rspamd) and say it again; neither the site's filter nor the messages were touched",
    exitCode: EXIT.failure,
  });
}
