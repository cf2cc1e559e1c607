import { setMaxListeners } from 'node:events';
import type { Bugs } from '../bugs.ts';
import { aborted, sleep } from '../clock.ts';
import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import type { Controller } from '../delivery/controller.ts';
import type { Learner } from '../delivery/store.ts';
import { ifAllowed } from '../errors.ts';
import { LogThrottle } from '../logger.ts';
import type { Log } from '../logger.ts';
import { SteadyClock, isTrusted, removeOldDays } from '../spool/archive.ts';
import { DiskFaults } from '../spool/disk-faults.ts';
import type { DiskFault } from '../spool/disk-faults.ts';
import { DropDirectory } from '../spool/drop-directory.ts';
import type { MessageLocks } from '../spool/message-locks.ts';
import { lockDescriptor } from '../spool/owner.ts';
import { Pickup } from '../spool/pickup.ts';
import type { SpoolEvents } from '../spool/message.ts';
import { PostCounts } from '../spool/post-counts.ts';
import { Quarantine } from '../spool/quarantine.ts';
import { Queue } from '../spool/queue.ts';
import { Requeue } from '../spool/requeue.ts';
import type { StateDir } from '../spool/state-dir.ts';
import type { Folder } from '../spool/folder.ts';
import { TaughtMessages } from '../spool/taught.ts';
import { identityOf } from '../trainers/spamassassin/identity.ts';
import type { History } from '../status/history.ts';
import type { Stall } from '../status/reports.ts';
import { Deliveries } from './deliveries.ts';
import { LearnedFigures } from './learned-figures.ts';
import type { SessionTaught } from './session-taught.ts';
import { SpoolStore } from './spool-store.ts';

/**
 * A spool session: the time during which this process owns the spool. It puts the rooms together and
 * ends with a stop, or when the spool or the state dir turns out to be another one.
 */
export interface SpoolSessionOptions {
  readonly config: Config;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  readonly bugs: Bugs;
  readonly stateDir: StateDir;
  readonly learners: readonly Learner[];
  readonly locks: MessageLocks;
  /** Gets what was taught, where SpamAssassin is. */
  readonly taught: SessionTaught;
  /** Gets what was added to lists of a fuzzy storage, where there is one. */
  readonly fuzzyLists: SessionTaught;
  /** Of this spool. */
  readonly history: History;
  /** Ends the session when it is aborted. */
  readonly stop: AbortSignal;
}

const ARCHIVE = 'the retention of the archive';
const TAUGHT = 'what was taught';
const HISTORY = 'the history by day';
const WATCHDOG_MS = 2_000;
const RETENTION_MS = 3_600_000;
const LEARN_COUNTS_MS = 5_000;
const REQUEUE_MS = 2_000;
const HISTORY_MS = 60_000;
/** In one pass a controller that fails this often in a row is given up. */
const PASS_PROBES = 3;
/** What a stop keeps of its time for putting things away. */
const STOP_RESERVE_MS = 500;

export class SpoolSession {
  readonly deliveries: Deliveries;
  readonly #options: SpoolSessionOptions;
  readonly #faults: DiskFaults;
  readonly #drop: DropDirectory;
  readonly #controllers: readonly Controller[];
  readonly #requeue: Requeue;
  readonly #pickup: Pickup;
  readonly #ending = new AbortController();
  readonly #chores: Promise<void>[] = [];
  readonly #figures: LearnedFigures;
  readonly #steadyClock: SteadyClock;
  readonly #taught: TaughtMessages | undefined;
  readonly #listed: TaughtMessages | undefined;
  #lostReason: string | undefined;
  #stopping: Promise<void> | undefined;

  constructor(options: SpoolSessionOptions) {
    const { config, clock, log, bugs, stateDir, learners, stop } = options;
    const ending = this.#ending.signal;
    const controllers = learners.flatMap((learner) => learner.controllers);
    this.#options = options;
    this.#controllers = controllers;
    setMaxListeners(0, ending);
    for (const controller of controllers) controller.forgetMessages();
    const { libDir, settleMs, sweepMs, maxBytes, after } = config.spool;
    const { archive, former, temporary } = stateDir;
    const throttle = new LogThrottle(clock);
    const faults = new DiskFaults({ clock, log, bugs });
    this.#faults = faults;
    const queue = new Queue(stateDir.queue, { maxBytes });
    const quarantine = new Quarantine(stateDir.quarantine, temporary);
    const wall = (): number => clock.wall();
    const postCounts = new PostCounts(stateDir.posts, temporary, queue);
    const store = new SpoolStore({ queue, quarantine, postCounts, archive, after, wall });
    const drop = new DropDirectory({ libDir, queue: stateDir.queue, faults, log, throttle });
    if (learners.some(({ filter }) => filter === 'spamassassin')) {
      this.#taught = this.#memoryIn(stateDir.openTaught());
    }
    if (config.rspamd.fuzzy !== undefined && learners.some(({ filter }) => filter === 'rspamd')) {
      this.#listed = this.#memoryIn(stateDir.openListed());
    }
    options.taught.messages = this.#taught;
    options.fuzzyLists.messages = this.#listed;
    const parts = { store, faults, settleMs, rescanMs: sweepMs };
    const deliveries = new Deliveries({ ...options, ...config.learning, ...parts, queue });
    const events = deliveries.spoolEvents;
    const common = { ...options, drop, queue, quarantine, faults, events };
    this.#steadyClock = new SteadyClock(clock);
    this.#figures = new LearnedFigures(stateDir, controllers, clock);
    this.#drop = drop;
    this.deliveries = deliveries;
    this.#requeue = new Requeue({ ...common, folders: stateDir.release, ending });
    this.#pickup = new Pickup({
      ...common,
      ...config.spool,
      requeue: this.#requeue,
      events: this.#noting(events),
      former,
      temporary,
      throttle,
      onLost: this.#lose.bind(this),
      lock: (folder) => lockDescriptor(folder.fd),
    });
    // Last of all: where something above fails, that is tried again and again.
    this.#endAt(stop);
  }

  /** Keeps what one filter was taught. */
  #memoryIn(folder: Folder): TaughtMessages {
    const { clock, stateDir } = this.#options;
    const wall = (): number => clock.wall();
    return new TaughtMessages({
      folder,
      temporary: stateDir.temporary,
      identityOf,
      wall,
      isClockTrusted: async () => isTrusted(wall(), await this.#witnessTime()),
      onFault: (error) => this.#faults.raise(TAUGHT, error),
      onKept: () => this.#faults.clear(TAUGHT),
    });
  }

  #endAt(stop: AbortSignal): void {
    const end = (): void => this.#ending.abort();
    if (stop.aborted) end();
    else stop.addEventListener('abort', end);
    // Not the option `signal`: Node.js would keep a session whose process is killed in the model.
    this.#ending.signal.addEventListener('abort', () => stop.removeEventListener('abort', end));
  }

  /** What pickup tells, of which the history hears when a message comes in. */
  #noting(events: SpoolEvents): SpoolEvents {
    const enqueued: SpoolEvents['enqueued'] = (...what) => {
      this.#options.history.arrived();
      events.enqueued(...what);
    };
    return { ...events, enqueued };
  }

  /** Why the session ended by itself. */
  get lostReason(): string | undefined {
    return this.#lostReason;
  }

  /** Places on the disk that don't work. */
  get diskFaults(): readonly DiskFault[] {
    return this.#faults.current;
  }

  /** Whether its loops turn. */
  get stalls(): readonly Stall[] {
    return [{ what: 'pickup', ms: this.#pickup.overdueMs }, ...this.deliveries.stalls];
  }

  /**
   * Takes the drop directory over, and what was released; at a stop it leaves the rest.
   * @param progress is called now and then while there is more
   * @returns false when the spool belongs to another daemon
   */
  async prepare(progress?: () => void): Promise<boolean> {
    this.#tidy();
    await this.#pickup.openFolders();
    await this.#requeue.take(progress);
    return this.#lostReason === undefined;
  }

  /** What a killed process left half-made nobody finishes, and it may be a message that was withdrawn. */
  #tidy(): void {
    const { temporary } = this.#options.stateDir;
    for (const { rawName } of ifAllowed(() => [...temporary.list()]) ?? []) {
      // A doctor may be trying the folder.
      if (!rawName.startsWith('.kopano-learnd-')) ifAllowed(() => temporary.removeFile(rawName));
    }
  }

  /** Works until it is stopped or lost. */
  async run(): Promise<void> {
    this.deliveries.start();
    this.#pickup.start();
    this.#every(WATCHDOG_MS, 'the watch over state dir and password', () => {
      this.#watchStateDir();
      this.#watchPassword();
    });
    this.#every(REQUEUE_MS, 'the taking back of released messages', async () => {
      await this.#requeue.take();
    });
    this.#every(RETENTION_MS, ARCHIVE, () => this.#retain());
    this.#every(HISTORY_MS, HISTORY, () => this.#options.history.save());
    this.#every(LEARN_COUNTS_MS, 'the watch over what Bayes knows', () =>
      this.#figures.look(this.#ending.signal, () => this.deliveries.wake()),
    );
    for (const memory of [this.#taught, this.#listed]) {
      if (memory !== undefined) this.#every(RETENTION_MS, TAUGHT, () => memory.prune());
    }
    await aborted(this.#ending.signal);
    await this.stop();
  }

  /**
   * One pass: tries what is there once, then stops.
   * @returns how many messages are left
   */
  async pass(): Promise<number> {
    this.deliveries.start();
    const stays = await this.#pickup.pass();
    // What it could not carry into the queue must not hold what lies there.
    await Promise.race([this.#pickup.stop(), aborted(this.#ending.signal)]);
    const unreleased = await this.#requeue.take();
    while (!this.#ending.signal.aborted && !this.deliveries.isSpent(PASS_PROBES)) {
      await sleep(this.#options.clock, 20, this.#ending.signal);
    }
    const { pending, deferred, inFlight } = this.deliveries.counts;
    // Behind what can't be read there may be more.
    const unseen = this.#faults.isAny ? 1 : 0;
    await this.#faults.guard(ARCHIVE, () => this.#retain());
    const missing = this.#drop.isComplete && this.#lostReason === undefined ? 0 : 1;
    await this.stop();
    return stays + unreleased + pending + deferred + inFlight + missing + unseen;
  }

  /** Sweeps, and tries now what waits for a better moment. */
  retryNow(): void {
    this.#pickup.sweepNow();
    this.deliveries.retryNow();
  }

  /** Stops; what is in flight gets a moment to end. Idempotent. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stopAll();
    return this.#stopping;
  }

  #lose(reason: string): void {
    this.#lostReason ??= reason;
    this.#ending.abort();
  }

  async #stopAll(): Promise<void> {
    const { clock, config, history } = this.#options;
    const { shutdownMs } = config;
    this.#ending.abort();
    this.deliveries.hurryUp(Math.max(shutdownMs - STOP_RESERVE_MS, shutdownMs / 2));
    const isOver = Promise.all([this.#pickup.stop(), this.deliveries.stop()])
      .then(() => Promise.all(this.#chores))
      .then(() => this.#faults.guard(HISTORY, () => history.save()))
      .then(() => {
        // The locks of its folders are this process's, which may own the spool again.
        this.#drop.close();
      });
    // A file system that hangs must not keep the process: the queue is as good as it was.
    const waited = new AbortController();
    await Promise.race([isOver, sleep(clock, shutdownMs, waited.signal)]);
    waited.abort();
  }

  // --- chores

  /** Does a chore now and every so many milliseconds until the end; sooner after a fault. */
  #every(ms: number, what: string, chore: () => void | Promise<void>): void {
    const loop = async (): Promise<void> => {
      while (!this.#ending.signal.aborted) {
        await this.#faults.guard(what, chore);
        await sleep(this.#options.clock, this.#faults.pause(what) || ms, this.#ending.signal);
      }
    };
    this.#chores.push(loop());
  }

  #watchStateDir(): void {
    const { stateDir } = this.#options;
    if (stateDir.isOurs()) return;
    const { path } = stateDir.root;
    const what = 'was removed, replaced or opened to others, in part or as a whole';
    this.#lose(`the state dir ${path} ${what}`);
  }

  /** After a refused password: another one in its file is tried at once. */
  #watchPassword(): void {
    const { config } = this.#options;
    if (!this.#controllers.some((each) => each.awaitsPassword)) return;
    if (config.rspamd.password.refresh()) this.deliveries.retryNow();
  }

  async #retain(): Promise<void> {
    const { config, stateDir, clock } = this.#options;
    await removeOldDays({
      archive: stateDir.archive,
      days: config.spool.archiveDays,
      wall: () => clock.wall(),
      witnessTime: () => this.#witnessTime(),
    });
  }

  /** Another clock's time; `undefined` when nobody tells. */
  async #witnessTime(): Promise<number | undefined> {
    const trainers = this.#controllers.map(({ trainer }) => trainer);
    const isUntold = trainers.every(({ filter }) => filter === 'spamassassin');
    if (isUntold) return this.#steadyClock.time();
    for (const trainer of trainers) {
      const time = await trainer.time?.(this.#ending.signal);
      if (time !== undefined) return time;
    }
    return undefined;
  }
}
