import { systemClock, sleep } from '../clock.ts';
import type { Clock } from '../clock.ts';
import type { CommandOptions } from '../command-options.ts';
import type { Config } from '../config.ts';
import { Bugs } from '../bugs.ts';
import { EXIT, OperatorError } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import { LogThrottle } from '../logger.ts';
import type { Log } from '../logger.ts';
import type { Controller } from '../delivery/controller.ts';
import { sumOf } from '../delivery/events.ts';
import type { ResultCounts } from '../delivery/events.ts';
import { DiskFaults } from '../spool/disk-faults.ts';
import { MessageLocks } from '../spool/message-locks.ts';
import { acquireOwnership } from '../spool/owner.ts';
import type { Ownership } from '../spool/owner.ts';
import { SpoolMissingError, openStateDir } from '../spool/state-dir.ts';
import type { StateDir } from '../spool/state-dir.ts';
import { hostOf } from '../host.ts';
import { History } from '../status/history.ts';
import { Reporter } from '../status/reports.ts';
import type { DaemonView, Stall } from '../status/reports.ts';
import type { StatusServer } from '../status/server.ts';
import { StatusSocket } from '../status/socket.ts';
import { createTrainers } from '../trainers/create.ts';
import { refuseRoot } from '../trainers/spamassassin/sa-learn.ts';
import type { TrainersOptions } from '../trainers/create.ts';
import type { ReportResult } from '../trainers/spamassassin/reports.ts';
import type { Trainer } from '../trainers/trainer.ts';
import { inShell } from '../text.ts';
import { VERSION } from '../version.ts';
import { teachAgain } from '../spool/archive.ts';
import { createLearners } from './learners.ts';
import { SessionTaught } from './session-taught.ts';
import { SpoolSession } from './session.ts';
import type { SpoolSessionOptions } from './session.ts';

/**
 * The daemon: becomes the owner of the spool, or stands by until it can, and learns what comes
 * until it is told to stop.
 */
export interface WatchOptions extends Pick<
  CommandOptions,
  'environment' | 'stop' | 'onHangup' | 'onCrash' | 'identity'
> {
  readonly config: Config;
  readonly log: Log;
  /** One pass over what is there, instead of for ever. */
  readonly once: boolean;
}

/** What the daemon runs on; tests give it another one. */
export interface Platform {
  readonly clock: Clock;
  readonly random: () => number;
  /** One trainer for each controller of the settings. */
  readonly trainersFor: (config: Config, options: TrainersOptions) => readonly Trainer[];
}

const SYSTEM: Platform = {
  clock: systemClock,
  random: Math.random,
  trainersFor: createTrainers,
};

/** How often a spool that is missing, or owned by another daemon, is asked for again. */
const RETRY_MS = 1_000;

/**
 * @returns the exit code: 0 after a stop; for one pass 0, 1 (something was quarantined) or 75
 *   (something is left)
 * @throws {OperatorError} when the state dir can't be used, there is no `flock`, or root would run
 *   `sa-learn`
 */
export async function watch(options: WatchOptions, platform = SYSTEM): Promise<ExitCode> {
  const { config, log, once, stop } = options;
  refuseRoot(config, options.identity.uid);
  const daemon = new Daemon(options, platform);
  log('notice', 'daemon.started', `kopano-learnd ${VERSION} starts`, {
    version: VERSION,
    spool: config.spool.libDir,
    stateDir: config.spool.stateDir,
    controllers: daemon.controllers.map(({ name }) => name).join(','),
    after: config.spool.after,
  });
  let left: number | undefined;
  try {
    // One pass is over before anybody would look, and a daemon beside it may have the port.
    if (!once) await daemon.showStatus();
    do left = await daemon.serve();
    while (!once && !stop.aborted);
  } finally {
    await daemon.hideStatus();
    log('notice', 'daemon.stopped', 'kopano-learnd stops', daemon.counts);
  }
  if (!once) return EXIT.done;
  if (daemon.counts.quarantined > 0) return EXIT.failure;
  return left === 0 ? EXIT.done : EXIT.temporary;
}

function reportLine(log: Log): (result: ReportResult) => void {
  return ({ kind, key, taken, reason }) => {
    const what = kind === 'spam' ? 'reported as spam' : 'taken back as spam';
    const says = taken ? what : `not ${what}: ${reason ?? ''}`;
    log('notice', 'message.reported', says, { file: key, kind, taken, reason });
  };
}

class Daemon {
  readonly #options: WatchOptions;
  readonly #clock: Clock;
  readonly #throttle: LogThrottle;
  readonly #faults: DiskFaults;
  /** What outlives a session. */
  readonly #parts: Omit<SpoolSessionOptions, 'stateDir' | 'history'>;
  #session: SpoolSession | undefined;
  /** Of the spool of the last session. */
  #history: History | undefined;
  #standsBy = false;
  readonly #reporter: Reporter;
  /** Ends what the reporter asks of rspamd. */
  readonly #ending = new AbortController();
  #status: StatusServer | undefined;
  /** What keeps it from owning the spool. */
  #waitsFor: string | undefined = 'it starts';
  /** What it does outside of a session, and since when. */
  #step = { what: 'the start', since: 0 };

  constructor(options: WatchOptions, { clock, random, trainersFor }: Platform) {
    const { config, log, stop } = options;
    this.#options = options;
    this.#clock = clock;
    this.#throttle = new LogThrottle(clock);
    this.#begin('the start');
    const bugs = new Bugs({ clock, log });
    this.#faults = new DiskFaults({ clock, log, bugs });
    const taught = new SessionTaught();
    const fuzzyLists = new SessionTaught();
    const learners = createLearners({
      config,
      trainers: trainersFor(config, {
        taught,
        fuzzyLists,
        reporting: { stop, onResult: reportLine(log) },
      }),
      clock,
      random,
      log,
      teachAgain: () => teachAgain(config.spool.stateDir),
      onEnded: (filter) => (ended) => {
        this.#history?.ended(filter, ended);
        this.#status?.ended(filter, ended);
      },
    });
    const locks = new MessageLocks();
    this.#parts = {
      ...{ config, clock, random, log, bugs, learners, locks, taught, fuzzyLists, stop },
    };
    this.#reporter = new Reporter(this.#view(), clock, this.#ending.signal);
    options.onHangup(() => bugs.guard('the signal SIGHUP', () => this.#session?.retryNow()));
    options.onCrash((error) => bugs.report(error, 'nobody caught it; the process ends'));
  }

  get controllers(): readonly Controller[] {
    return this.#parts.learners.flatMap((learner) => learner.controllers);
  }

  /** How messages ended; with several filters each is counted once by each. */
  get counts(): ResultCounts {
    return sumOf(this.#parts.learners.map(({ events }) => events.counts));
  }

  /** Shows its status where that is wanted. Imported only then: it takes 10 MB. */
  async showStatus(): Promise<void> {
    const { config, log } = this.#options;
    const { statusListen: listen } = config;
    if (listen === undefined) return;
    const { StatusServer } = await import('../status/server.ts');
    const { bugs, learners } = this.#parts;
    const reporter = this.#reporter;
    this.#status = new StatusServer({
      reporter,
      bugs,
      filters: learners.map(({ filter }) => filter),
      verdicts: config.spool.verdicts,
      listen,
      clock: this.#clock,
      log,
    });
    this.#status.start();
  }

  async hideStatus(): Promise<void> {
    this.#ending.abort();
    await this.#status?.stop();
  }

  #view(): DaemonView {
    const { config, identity, environment } = this.#options;
    const { learners, bugs } = this.#parts;
    return {
      spool: config.spool,
      learners,
      bugs,
      process: {
        pid: process.pid,
        uid: identity.uid,
        groups: identity.groups,
        host: hostOf(environment),
        file: config.file ?? null,
        after: config.spool.after,
      },
      counts: () => this.#session?.deliveries.counts,
      countsOf: (learner) => this.#session?.deliveries.countsOf(learner),
      stalls: () => this.#stalls(),
      faults: () => [...this.#faults.current, ...(this.#session?.diskFaults ?? [])],
      waitsFor: () => (this.#session === undefined ? this.#waitsFor : undefined),
      history: () => (this.#session === undefined ? undefined : this.#history?.report),
    };
  }

  #stalls(): readonly Stall[] {
    if (this.#session !== undefined) return this.#session.stalls;
    const { what, since } = this.#step;
    return [{ what, ms: this.#clock.monotonic() - since }];
  }

  #begin(what: string): void {
    this.#step = { what, since: this.#clock.monotonic() };
  }

  /**
   * Tries to own the spool, and serves it while that lasts.
   * @returns how many messages one pass left; `undefined` when there was none
   * @throws {OperatorError} when only the operator can mend it
   */
  async serve(): Promise<number | undefined> {
    const { config, once, stop, identity } = this.#options;
    let stateDir: StateDir | undefined;
    let ownership: Ownership | undefined;
    this.#begin('taking the ownership of the spool');
    try {
      stateDir = openStateDir({
        path: config.spool.stateDir,
        libDir: config.spool.libDir,
        verdicts: config.spool.verdicts,
        ...identity,
        onTightened: (mode) => this.#tellTightened(mode),
      });
      ownership = await acquireOwnership(stateDir.root);
      if (ownership !== undefined) return await this.#own(stateDir);
      this.#faults.clear(config.spool.stateDir);
      this.#standBy(`${stateDir.root.path} is owned by another daemon, or read by relearn`);
    } catch (error) {
      this.#explain(error);
    } finally {
      ownership?.release();
      stateDir?.close();
    }
    if (!once) await sleep(this.#clock, RETRY_MS, stop);
    return undefined;
  }

  async #own(stateDir: StateDir): Promise<number | undefined> {
    const { config, log, once, stop } = this.#options;
    const history = new History({ stateDir, clock: this.#clock, log });
    this.#history = history;
    const session = new SpoolSession({ ...this.#parts, stateDir, history });
    const socket = new StatusSocket(this.#reporter, this.#parts.bugs);
    const opens = (): void => this.#begin('opening the spool');
    opens();
    try {
      const isOurs = await session.prepare(opens);
      this.#faults.clear(config.spool.stateDir);
      if (isOurs && !stop.aborted) {
        this.#standsBy = false;
        log('notice', 'daemon.owner', `owns the spool ${config.spool.libDir}`, {
          spool: config.spool.libDir,
        });
        this.#session = session;
        if (once) return await session.pass();
        socket.start(stateDir.root);
        await session.run();
      }
      if (session.lostReason !== undefined) this.#standBy(session.lostReason);
    } finally {
      this.#session = undefined;
      this.#begin('giving up the spool');
      await socket.stop();
      await session.stop();
    }
    if (!once) await sleep(this.#clock, RETRY_MS, stop);
    return undefined;
  }

  /** Says what keeps the daemon from its spool; it is tried again. */
  #explain(error: unknown): void {
    const { config, log } = this.#options;
    if (error instanceof OperatorError) throw error;
    if (!(error instanceof SpoolMissingError)) {
      this.#faults.raise(config.spool.stateDir, error);
      return;
    }
    const { libDir } = config.spool;
    this.#waitsFor = `${libDir} is missing`;
    if (!this.#throttle.allows('missing')) return;
    const cure = `install -d -o kopano -g kopano -m 0755 ${inShell(libDir)}`;
    log(
      'warning',
      'spool.missing',
      `${libDir} is missing; it is waited for. kopano-spamd makes it, or: ${cure}`,
      { path: libDir, code: 'ENOENT', cure },
    );
  }

  #tellTightened(mode: string): void {
    if (!this.#throttle.allows('tightened')) return;
    const { stateDir } = this.#options.config.spool;
    this.#options.log(
      'notice',
      'spool.adjusted',
      `others could write to the state dir ${stateDir} (mode ${mode}, as Kubernetes' fsGroup makes it); it is its owner's alone again`,
      { path: stateDir, mode },
    );
  }

  #standBy(reason: string): void {
    this.#waitsFor = reason;
    if (this.#standsBy || this.#options.stop.aborted) return;
    this.#standsBy = true;
    this.#options.log('notice', 'daemon.standby', `stands by: ${reason}`, { reason });
  }
}
