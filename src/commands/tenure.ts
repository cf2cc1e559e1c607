import { setMaxListeners } from 'node:events';
import { aborted, sleep } from '../clock.ts';
import type { Clock } from '../clock.ts';
import type { Bugs } from '../bugs.ts';
import type { Config } from '../config.ts';
import { plural } from '../text.ts';
import { LogThrottle } from '../logger.ts';
import type { Log } from '../logger.ts';
import type { Controller } from '../learning/controller.ts';
import { Dispatcher } from '../learning/dispatcher.ts';
import { keyLane } from '../learning/identity.ts';
import type { Lanes } from '../learning/lanes.ts';
import { Ledger } from '../learning/ledger.ts';
import { Learner } from '../learning/learner.ts';
import { MemoryWatch } from '../learning/memory-watch.ts';
import type { MessageLog } from '../learning/message-log.ts';
import { PATIENCE_MS, PostOffice } from '../learning/post-office.ts';
import { SpoolStore } from '../learning/spool-store.ts';
import { acquits } from '../learning/witness.ts';
import { Disposal } from '../spool/disposal.ts';
import { DropDirectory } from '../spool/drop-directory.ts';
import { Faults } from '../spool/faults.ts';
import { lockDescriptor } from '../spool/owner.ts';
import { Pickup } from '../spool/pickup.ts';
import { PostCounts } from '../spool/post-counts.ts';
import { Quarantine } from '../spool/quarantine.ts';
import { Queue } from '../spool/queue.ts';
import { Releases } from '../spool/release.ts';
import { removeOldDays } from '../spool/retention.ts';
import type { StateDir } from '../spool/state-dir.ts';
import { probe } from '../status/probe.ts';
import type { Counts, Stall } from '../status/reports.ts';

/**
 * One tenure: the time during which this process owns the spool. It wires the rooms together and
 * ends with a stop, or when the spool or the state dir turns out to be another one.
 */
export interface TenureOptions {
  readonly config: Config;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  readonly bugs: Bugs;
  readonly stateDir: StateDir;
  readonly controllers: readonly Controller[];
  readonly lanes: Lanes;
  readonly messages: MessageLog;
}

const ARCHIVE = 'the retention of the archive';
const WATCHDOG_MS = 2_000;
const RETENTION_MS = 3_600_000;
const MEMORY_WATCH_MS = 5_000;
const RELEASES_MS = 2_000;
/** In one pass a controller that fails this often in a row is given up. */
const PASS_PROBES = 3;
/** Posts that one message in flight may take: its own, its controller's witness's, and some more. */
const LONGEST_FLIGHT_POSTS = 10;
/** What a stop keeps of its time for putting things away. */
const STOP_RESERVE_MS = 500;

export class Tenure {
  readonly #options: TenureOptions;
  readonly #pickup: Pickup;
  readonly #dispatcher: Dispatcher;
  readonly #drop: DropDirectory;
  readonly #releases: Releases;
  readonly #faults: Faults;
  /** Ends waits; what is in flight goes on. */
  readonly #ending = new AbortController();
  /** Ends what is in flight. */
  readonly #abort = new AbortController();
  readonly #chores: Promise<void>[] = [];
  #lostReason: string | undefined;
  #stopping: Promise<void> | undefined;

  constructor(options: TenureOptions) {
    const { config, clock, random, log, bugs, stateDir, controllers, lanes, messages } = options;
    this.#options = options;
    for (const { signal } of [this.#ending, this.#abort]) setMaxListeners(0, signal);
    for (const controller of controllers) controller.forgetMessages();
    const throttle = new LogThrottle(clock);
    const faults = new Faults({ clock, log, bugs });
    const queue = new Queue(stateDir.queue, { maxBytes: config.spool.maxBytes });
    const quarantine = new Quarantine(stateDir.quarantine, stateDir.temporary);
    const pause = (ms: number): Promise<void> => sleep(clock, ms, this.#ending.signal);
    const office = new PostOffice(controllers, lanes, this.#abort.signal, pause);
    const wall = (): number => clock.wall();
    const { archive } = stateDir;
    const disposal = new Disposal({ queue, archive, after: config.spool.after, wall });
    const postCounts = new PostCounts(stateDir.posts, stateDir.temporary, queue);
    const store = new SpoolStore({ queue, quarantine, disposal, postCounts, wall });
    const ledger = new Ledger({ proveEvery: 1 });
    const onReleased = (key: string): void => {
      this.#pickup.release(key);
    };
    this.#faults = faults;
    this.#drop = new DropDirectory({
      libDir: config.spool.libDir,
      queue: stateDir.queue,
      faults,
      log,
      throttle,
    });
    this.#dispatcher = new Dispatcher({
      controllers,
      store,
      learner: new Learner({ store, faults, lanes, ledger, office, pause, clock }),
      lanes,
      ledger,
      messages,
      faults,
      bugs,
      clock,
      random,
      acquits: (controller) => acquits(controller, lanes, office, pause, onReleased),
      onReleased,
      ...config.learning,
      settleMs: config.spool.settleMs,
      rescanMs: config.spool.sweepMs,
    });
    this.#releases = new Releases({
      folders: stateDir.release,
      queue,
      quarantine,
      drop: this.#drop,
      faults,
      clock,
      isHeld: (key) => lanes.isHeld(keyLane(key)),
      queued: (entry) => {
        this.#dispatcher.offer(entry, false);
      },
      superseded: (verdict, key) => {
        // What is in memory of its key is the newer one.
        messages.superseded(verdict, key, undefined);
      },
      faulted: () => {
        this.#dispatcher.rescan();
      },
    });
    this.#pickup = new Pickup({
      drop: this.#drop,
      queue,
      quarantine,
      releases: this.#releases,
      temporary: stateDir.temporary,
      faults,
      bugs,
      clock,
      log,
      throttle,
      listener: {
        isHeld: (key) => lanes.isHeld(keyLane(key)),
        hold: (key) => {
          lanes.hold([keyLane(key)]);
        },
        unhold: (key) => {
          lanes.release([keyLane(key)]);
          this.#dispatcher.wake();
        },
        queued: (entry, settled) => {
          this.#dispatcher.offer(entry, settled);
        },
        superseded: (verdict, key) => {
          this.#dispatcher.supersede(verdict, key);
        },
        faulted: () => {
          this.#dispatcher.rescan();
        },
        lost: (reason) => {
          this.#lose(reason);
        },
      },
      lock: (folder) => lockDescriptor(folder.fd),
      settleMs: config.spool.settleMs,
      sweepMs: config.spool.sweepMs,
      polling: config.spool.polling,
      maxBytes: config.spool.maxBytes,
    });
  }

  /** Why the tenure ended by itself. */
  get lostReason(): string | undefined {
    return this.#lostReason;
  }

  /** What is in memory. */
  get counts(): Counts {
    return this.#dispatcher.counts;
  }

  /** Whether its loops turn. */
  get standstills(): readonly Stall[] {
    const { timeoutMs } = this.#options.config.rspamd;
    const longest = LONGEST_FLIGHT_POSTS * (timeoutMs + PATIENCE_MS);
    const { overdueMs, longestFlightMs } = this.#dispatcher;
    return [
      { what: 'pickup', ms: this.#pickup.overdueMs },
      { what: 'the dispatcher', ms: overdueMs },
      { what: 'a message in flight', ms: Math.max(0, longestFlightMs - longest) },
    ];
  }

  /**
   * Takes the drop directory over, and what was released; at an abort it leaves the rest.
   * @param progress is called now and then while there is more
   * @returns false when it belongs to another daemon
   */
  async prepare(signal: AbortSignal, progress?: () => void): Promise<boolean> {
    signal.addEventListener(
      'abort',
      () => {
        this.#releases.stop();
      },
      { once: true, signal: this.#ending.signal },
    );
    await this.#pickup.prepare();
    if (this.#lostReason === undefined && !signal.aborted) await this.#releases.take(progress);
    return this.#lostReason === undefined;
  }

  /** Works until `signal` is aborted or the tenure is lost, then stops. */
  async run(signal: AbortSignal): Promise<void> {
    this.#endWith(signal);
    this.#dispatcher.start();
    this.#pickup.start();
    this.#chores.push(
      this.#every(WATCHDOG_MS, 'the watch over state dir and password', () => {
        this.#watchStateDir();
        this.#watchPassword();
      }),
      this.#every(RELEASES_MS, 'the taking back of released messages', async () => {
        await this.#releases.take();
      }),
      this.#every(RETENTION_MS, ARCHIVE, () => this.#retain()),
      this.#every(MEMORY_WATCH_MS, 'the watch over what Bayes knows', () => this.#watchMemory()),
    );
    await aborted(this.#ending.signal);
    await this.stop();
  }

  /**
   * One pass: tries what is there once, then stops.
   * @returns how many messages are left
   */
  async pass(signal: AbortSignal): Promise<number> {
    this.#endWith(signal);
    this.#dispatcher.start();
    const stays = await this.#pickup.pass();
    // What it could not carry into the queue must not hold what lies there.
    await Promise.race([this.#pickup.stop(), aborted(this.#ending.signal)]);
    const unreleased = await this.#releases.take();
    while (!this.#ending.signal.aborted && !this.#dispatcher.isSpent(PASS_PROBES)) {
      await sleep(this.#options.clock, 20, this.#ending.signal);
    }
    const { pending, deferred, inFlight } = this.#dispatcher.counts;
    // Behind what can't be read there may be more.
    const unseen = this.#faults.isAny ? 1 : 0;
    await this.#try(ARCHIVE, () => this.#retain());
    const missing = this.#drop.isComplete && this.#lostReason === undefined ? 0 : 1;
    await this.stop();
    return stays + unreleased + pending + deferred + inFlight + missing + unseen;
  }

  /** Sweeps, and tries now what waits for a better moment. */
  retryNow(): void {
    this.#pickup.sweepNow();
    this.#dispatcher.retryNow();
  }

  /** Stops; what is in flight gets a moment to end. Idempotent. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stopAll();
    return this.#stopping;
  }

  #endWith(signal: AbortSignal): void {
    const end = (): void => {
      this.#ending.abort();
    };
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true, signal: this.#ending.signal });
  }

  #lose(reason: string): void {
    this.#lostReason ??= reason;
    this.#ending.abort();
  }

  async #stopAll(): Promise<void> {
    const { clock, config } = this.#options;
    this.#ending.abort();
    this.#releases.stop();
    const patience = Math.max(config.shutdownMs - STOP_RESERVE_MS, config.shutdownMs / 2);
    const timer = clock.after(patience, () => {
      this.#abort.abort();
    });
    const allStopped = Promise.all([this.#pickup.stop(), this.#dispatcher.stop()]).then(() => {
      timer.cancel();
      this.#abort.abort();
      return Promise.all(this.#chores);
    });
    // A file system that hangs must not keep the process: the queue is as good as it was.
    const waited = new AbortController();
    // Their locks are this process's, too: it may own the spool again.
    const isOver = allStopped.then(() => {
      this.#drop.close();
    });
    await Promise.race([isOver, sleep(clock, config.shutdownMs, waited.signal)]);
    waited.abort();
  }

  /** Calls `chore` now and every so many milliseconds until the end; sooner after a fault. */
  async #every(ms: number, what: string, chore: () => void | Promise<void>): Promise<void> {
    while (!this.#ending.signal.aborted) {
      await this.#try(what, chore);
      await sleep(this.#options.clock, this.#faults.pause(what) || ms, this.#ending.signal);
    }
  }

  async #try(what: string, chore: () => void | Promise<void>): Promise<void> {
    try {
      await chore();
      this.#faults.clear(what);
    } catch (error) {
      this.#faults.raise(what, error);
    }
  }

  // --- chores

  #watchStateDir(): void {
    const { stateDir } = this.#options;
    if (!stateDir.isOurs()) {
      this.#lose(
        `the state dir ${stateDir.root.path} was removed, replaced or opened to others, in part or as a whole`,
      );
    }
  }

  /** After a refused password: another one in its file is tried at once. */
  #watchPassword(): void {
    const { controllers, config } = this.#options;
    if (!controllers.some((each) => each.awaitsPassword)) return;
    if (config.rspamd.password.refresh()) this.#dispatcher.retryNow();
  }

  async #retain(): Promise<void> {
    const { config, stateDir, clock, controllers } = this.#options;
    await removeOldDays({
      archive: stateDir.archive,
      days: config.spool.archiveDays,
      wall: () => clock.wall(),
      witnessTime: async () => {
        for (const { trainer } of controllers) {
          const time = await trainer.time(this.#abort.signal);
          if (time !== undefined) return time;
        }
        return undefined;
      },
    });
  }

  readonly #memories = new Map<Controller, MemoryWatch>();
  /** Learns that each controller has acknowledged. */
  readonly #learns = new Map<Controller, number>();

  async #watchMemory(): Promise<void> {
    const { controllers, clock } = this.#options;
    for (const controller of controllers) {
      // Its last answers show that the password is right: a wrong one must not be repeated.
      const isUnknown = controller.state === 'starting' && controller.learns === 0;
      if (isUnknown || !controller.lacksOnlyProof) continue;
      const seen = await probe(controller.trainer, clock, this.#ending.signal);
      if (seen.kind !== 'answers') continue;
      this.#learns.set(controller, seen.statistics.learns ?? controller.learns);
      const learns = [...this.#learns.values()].reduce((sum, each) => sum + each, 0);
      controller.revisions.observe(seen.statistics, clock.monotonic(), learns);
      const memory = this.#memories.get(controller) ?? new MemoryWatch(controller.revisions);
      this.#memories.set(controller, memory);
      this.#tellForgotten(controller, memory.look());
      if (controller.letCountedGo()) this.#dispatcher.wake();
    }
  }

  #tellForgotten(controller: Controller, missing: number): void {
    if (missing === 0) return;
    controller.forgot = { missing, at: this.#options.clock.wall() };
    this.#options.log(
      'err',
      'controller.forgot',
      `${controller.name} has forgotten ${plural(missing, 'learned message')}; teach it again from the archive`,
      { controller: controller.name, missing },
    );
  }
}
