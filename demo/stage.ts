/**
 * What an act of the demo plays on: a spool, a filter and the daemon, all in one folder of the caller's. The
 * filter is rspamd with its Redis, or spamd.
 *
 * Starts and stops them and answers questions about them; prints nothing. The folder is not removed
 * here.
 */
import { access, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Daemon, type LogLine } from '../test/lab/daemon.ts';
import { KopanoWriter } from '../test/lab/kopano-writer.ts';
import type { MadeMessage } from '../test/lab/messages.ts';
import type { Evaluation } from '../src/evaluate/evaluation.ts';
import { VERDICTS } from '../src/verdict.ts';
import { LOOPBACK, freePort } from '../src/servers/ports.ts';
import { PrivateRedis, type BayesCounts } from '../src/servers/private-redis.ts';
import { PrivateRspamd, type BayesOpinion } from '../src/servers/private-rspamd.ts';
import { PrivateSpamd, type SpamdCounts } from '../test/lab/private-spamd.ts';
import { ServerProcess } from '../src/servers/server-process.ts';

const POLL_MS = 5;
/** Events that end a message's way through the daemon. */
const FATES = [
  'message.learned',
  'message.duplicate',
  'message.refused',
  'message.quarantined',
  'message.withdrawn',
];

/** How a message's way through the daemon ended. */
export interface Fate {
  readonly event: string;
  readonly verdict: string;
  readonly file: string;
}

/** Where the programs are and when to give up. */
interface DemoStageOptions {
  /** An existing, empty folder for everything. */
  readonly folder: string;
  /** The program, without a command. */
  readonly program: readonly [string, ...string[]];
  readonly searchPath: string;
  /** How long to wait for the daemon's next step. */
  readonly patienceMs: number;
  readonly signal: AbortSignal;
}

export class DemoStage {
  /** The spool: holds `spam/` and `ham/`. */
  readonly lib: string;
  readonly #options: DemoStageOptions;
  readonly #writer: KopanoWriter;
  #redis: PrivateRedis | undefined;
  #rspamd: PrivateRspamd | undefined;
  #spamd: PrivateSpamd | undefined;
  /** The daemon's settings about the filter that was started. */
  #filter: Readonly<Record<string, string>> = {};
  #daemon: Daemon | undefined;
  /** What was exported, as its users judged it last. */
  readonly #taught = new Map<string, MadeMessage>();

  constructor(options: DemoStageOptions) {
    this.#options = options;
    this.lib = join(options.folder, 'spool');
    this.#writer = new KopanoWriter({ lib: this.lib });
  }

  /** Starts Redis, then rspamd, by their paths; resolves with their addresses once both answer. */
  async startRspamd(programs: {
    readonly redis: string;
    readonly rspamd: string;
  }): Promise<{ readonly redis: string; readonly rspamd: string }> {
    const { folder: parentFolder, signal } = this.#options;
    const { redis, rspamd } = programs;
    this.#redis = await PrivateRedis.start({ program: redis, parentFolder });
    signal.throwIfAborted();
    const { port } = this.#redis;
    this.#rspamd = await PrivateRspamd.start({ program: rspamd, parentFolder, redisPort: port });
    signal.throwIfAborted();
    this.#filter = { RSPAMD_URL: this.#rspamd.url };
    return { redis: `${LOOPBACK}:${port}`, rspamd: this.#rspamd.url };
  }

  /** Starts spamd, by its path; resolves once it answers. */
  async startSpamd(program: string): Promise<void> {
    const { folder: parentFolder, signal } = this.#options;
    this.#spamd = await PrivateSpamd.start({ program, parentFolder });
    signal.throwIfAborted();
    const SPAMD_URL = `spamd://${LOOPBACK}:${this.#spamd.port}`;
    this.#filter = { LEARN_TRAINERS: 'spamassassin', SPAMD_URL };
  }

  /**
   * Makes the class folders as kopano-spamd has them and starts the daemon on them.
   * @returns the address of its page
   */
  async startDaemon(): Promise<string> {
    for (const verdict of VERDICTS) await mkdir(join(this.lib, verdict), { recursive: true });
    const { program, folder, searchPath } = this.#options;
    const listen = `${LOOPBACK}:${await freePort()}`;
    const settings = {
      PATH: searchPath,
      KOPANO_SPAMD_LIB: this.lib,
      ...this.#filter,
      STATUS_LISTEN: listen,
      LOG_FORMAT: 'json',
      SHUTDOWN_SECONDS: '2',
    };
    this.#daemon = await Daemon.spawn([...program, 'watch'], settings, folder);
    await this.#untilDaemon('get ready', () => this.#lines.some(isOwner));
    return `http://${listen}/`;
  }

  /** Writes a message into its class folder the way kopano-spamd does. */
  async export(message: MadeMessage): Promise<void> {
    const { verdict, name, raw } = message;
    this.#taught.set(name, message);
    const outcome = await this.#writer.write({ verdict, name, body: raw });
    if (outcome.kind !== 'written') {
      throw new Error(`kopano-spamd would have failed: ${JSON.stringify(outcome)}`);
    }
  }

  /** Writes messages, and waits until each is learned and gone. */
  async teach(messages: readonly MadeMessage[]): Promise<void> {
    for (const message of messages) await this.export(message);
    await this.untilTaught(messages);
  }

  /** Resolves when the daemon has done with each of these messages. */
  async untilTaught(messages: readonly MadeMessage[]): Promise<void> {
    for (const message of messages) await this.untilSettled(message);
    for (const message of messages) await this.untilGone(message);
  }

  /** Resolves when the message is no longer in the class folder. */
  async untilPickedUp(message: MadeMessage): Promise<void> {
    await this.#untilAbsent(join(this.lib, message.verdict, message.name));
  }

  /** Resolves when the daemon has logged the message's fate. */
  async untilSettled({ verdict, name }: MadeMessage): Promise<void> {
    await this.#untilDaemon(`learn ${verdict}/${name}`, () =>
      this.fates.some((fate) => fate.verdict === verdict && fate.file === name),
    );
  }

  /** Resolves when neither the class folder nor the queue holds the message. */
  async untilGone(message: MadeMessage): Promise<void> {
    await this.untilPickedUp(message);
    await this.#untilAbsent(join(this.#queue, message.verdict, message.name));
  }

  /** How each message that the daemon is done with ended, the oldest first. */
  get fates(): readonly Fate[] {
    return this.#lines.filter(({ event }) => FATES.includes(event)).map(fateOf);
  }

  /** How many files are in the class folders and in the daemon's queue. */
  async waiting(): Promise<{ readonly dropped: number; readonly queued: number }> {
    const [dropped, queued] = await Promise.all([countIn(this.lib), countIn(this.#queue)]);
    return { dropped, queued };
  }

  /** What Bayes says of a message; it is not learned. */
  async opinion(message: MadeMessage): Promise<BayesOpinion> {
    return started(this.#rspamd).bayesOpinion(message.raw);
  }

  /** How many messages rspamd's Bayes has learned. */
  async bayesCounts(): Promise<BayesCounts> {
    return started(this.#redis).bayesCounts();
  }

  /** How many messages SpamAssassin's Bayes has learned. */
  async spamdCounts(): Promise<SpamdCounts> {
    return started(this.#spamd).counts();
  }

  /**
   * What `kopano-learnd evaluate` finds out about all that was exported.
   * @throws when it fails, with its words
   */
  async evaluation(): Promise<Evaluation> {
    const { program, folder, searchPath, signal } = this.#options;
    const archive = join(folder, 'taught');
    for (const verdict of VERDICTS) await mkdir(join(archive, verdict), { recursive: true });
    for (const { verdict, name, raw } of this.#taught.values()) {
      await writeFile(join(archive, verdict, name), raw);
    }
    const [node, ...args] = program;
    let printed = '';
    const run = await ServerProcess.start({
      program: node,
      args: [...args, 'evaluate', '--json', '--quiet', archive],
      cwd: folder,
      outputFile: join(folder, 'evaluate.log'),
      onLine: (line) => (printed += line),
      environment: { PATH: searchPath, TMPDIR: folder },
    });
    const stop = (): void => {
      void run.stop();
    };
    signal.addEventListener('abort', stop);
    const end = await run.ended;
    signal.removeEventListener('abort', stop);
    await run.stop();
    signal.throwIfAborted();
    if (end !== 0) throw new Error(`evaluate ended with ${end}: ${run.tailOfOutput()}`);
    return JSON.parse(printed) as Evaluation;
  }

  /** Stops what was started, the daemon first; resolves when all of it is gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#daemon?.running === true) await this.#daemon.stop();
    await this.#daemon?.kill();
    await this.#rspamd?.[Symbol.asyncDispose]();
    await this.#redis?.[Symbol.asyncDispose]();
    await this.#spamd?.[Symbol.asyncDispose]();
  }

  get #queue(): string {
    return join(this.lib, '.learnd', 'queue');
  }

  get #lines(): readonly LogLine[] {
    return this.#daemon?.lines ?? [];
  }

  async #untilDaemon(what: string, isSo: () => boolean): Promise<void> {
    const { patienceMs: timeoutMs, signal } = this.#options;
    await started(this.#daemon).until(what, isSo, { timeoutMs, signal });
  }

  async #untilAbsent(path: string): Promise<void> {
    const { patienceMs, signal } = this.#options;
    const deadline = performance.now() + patienceMs;
    while (await exists(path)) {
      if (performance.now() > deadline) throw new Error(`the daemon leaves ${path} where it is`);
      await sleep(POLL_MS, undefined, { signal });
    }
  }
}

function started<T>(server: T | undefined): T {
  if (server === undefined) throw new Error('not started yet');
  return server;
}

function isOwner({ event }: LogLine): boolean {
  return event === 'daemon.owner';
}

function fateOf({ event, fields }: LogLine): Fate {
  return { event, verdict: String(fields['verdict']), file: String(fields['file']) };
}

async function countIn(folder: string): Promise<number> {
  const counts = VERDICTS.map(async (verdict) => {
    const names = await readdir(join(folder, verdict));
    return names.filter((name) => !name.startsWith('.')).length;
  });
  return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}
