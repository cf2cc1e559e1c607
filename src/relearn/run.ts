import { sleep } from '../clock.ts';
import type { Clock } from '../clock.ts';
import { Bugs } from '../bugs.ts';
import type { Controller } from '../delivery/controller.ts';
import { createDelivery } from '../delivery/create.ts';
import { MessageEvents } from '../delivery/events.ts';
import type { Backlog } from '../delivery/backlog.ts';
import type { Scheduler } from '../delivery/scheduler.ts';
import type { Log } from '../logger.ts';
import { DiskFaults } from '../spool/disk-faults.ts';
import { MessageLocks } from '../spool/message-locks.ts';
import type { BulkStore } from './bulk-store.ts';
import { alternate } from './sources/alternate.ts';
import type { Found, Source } from './sources/source.ts';
import { Leftovers } from './leftovers.ts';
import { SparseProofs } from './proof-sampler.ts';

/**
 * One bulk run: reads the sources no faster than the controllers learn, and has every message
 * delivered by the same scheduler, attribution and proof as the daemon's.
 */
export interface BulkRunOptions {
  readonly sources: readonly Source[];
  readonly store: BulkStore;
  readonly controllers: readonly Controller[];
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  /** Requests in flight for each controller. */
  readonly concurrency: number;
  readonly maxAttempts: number;
  /** One of so many messages is proven. */
  readonly proveEvery: number;
  /** At most so many messages are posted. */
  readonly limit: number;
  /** How long no controller may learn, or nothing but failed messages be left. */
  readonly waitMs: number;
  /** How long a stop waits for what is in flight. */
  readonly shutdownMs: number;
  /** Hears of everything in the sources. */
  readonly onFound: (found: Found, source: Source) => void;
}

/**
 * How a run ended: `complete` when the sources are read to their end, `limited` at the limit,
 * `interrupted` by a stop, `away` after the longest wait, `failing` where by then nothing but errors
 * came for what is left, `misconfigured` when no controller takes our posts from the start.
 */
export type Ending = 'complete' | 'limited' | 'interrupted' | 'away' | 'failing' | 'misconfigured';

/** Messages that are read ahead, as a multiple of those in flight. */
const AHEAD = 2;
const AHEAD_BYTES = 64 * 1024 * 1024;
/** Messages that failed and wait for another try. */
const MOST_DEFERRED = 1_000;
const LOOK_MS = 250;
/** Probes of what is down, at least, in the longest wait: a controller's backoff may be as long. */
const PROBES_IN_WAIT = 10;

export class BulkRun {
  readonly #options: BulkRunOptions;
  readonly #scheduler: Scheduler;
  readonly #ending = new AbortController();
  readonly #backlog: Backlog;
  readonly #sampler: SparseProofs;
  readonly #leftovers: Leftovers;
  #wake: (() => void) | undefined;
  #stuckSince: number | undefined;
  #ended: Ending | undefined;

  constructor(options: BulkRunOptions) {
    const { clock, log } = options;
    this.#options = options;
    const bugs = new Bugs({ clock, log });
    const locks = new MessageLocks();
    this.#sampler = new SparseProofs(options.proveEvery);
    const { scheduler, backlog } = createDelivery({
      ...options,
      locks,
      sampler: this.#sampler,
      events: new MessageEvents(log, clock),
      faults: new DiskFaults({ clock, log, bugs }),
      bugs,
      // What is offered is bounded here.
      backlog: Number.MAX_SAFE_INTEGER,
      settleMs: 0,
      rescanMs: 3_600_000,
    });
    this.#scheduler = scheduler;
    this.#backlog = backlog;
    this.#leftovers = new Leftovers({ ...options, scheduler, backlog });
    locks.onKeyReleased(() => this.#wake?.());
  }

  /**
   * Works until all is done, or until `stop` is aborted.
   * @returns how it ended; messages that are still in the store are left over
   */
  async run(stop: AbortSignal): Promise<Ending> {
    const onStop = (): void => {
      this.#end('interrupted');
    };
    stop.addEventListener('abort', onStop, { once: true });
    if (stop.aborted) onStop();
    const lookout = this.#lookOut();
    this.#scheduler.start();
    try {
      await this.#feed();
      await this.#drain();
    } finally {
      stop.removeEventListener('abort', onStop);
      this.#ending.abort();
      await this.#scheduler.stop();
      await lookout;
    }
    return this.#ended ?? 'complete';
  }

  /** The last error that rspamd answered to a message that is left over. */
  errorOf(place: string): string | undefined {
    return this.#leftovers.errorOf(place);
  }

  #isStopped(): boolean {
    return this.#ended !== undefined && this.#ended !== 'limited';
  }

  /** Reads the sources, and offers what they hold while there is room. */
  async #feed(): Promise<void> {
    const { sources, store, limit, onFound } = this.#options;
    let offered = 0;
    const things = alternate(sources);
    for (;;) {
      const next = await this.#unlessStopped(things.next());
      if (next === undefined || next.done === true || this.#isStopped()) break;
      const { source, found } = next.value;
      if (found.kind === 'message' && offered === limit) {
        this.#ended ??= 'limited';
        break;
      }
      onFound(found, source);
      if (found.kind === 'message') {
        offered += 1;
        this.#scheduler.enqueued(store.put(found.place, source.verdict, found.body), true);
      }
      while (!this.#hasRoom && !this.#isStopped()) await this.#untilSomethingEnds();
    }
    void things.return();
  }

  /** Standard input may say nothing for ever: a stop doesn't wait for it. */
  #unlessStopped<T>(promise: Promise<T>): Promise<T | undefined> {
    return new Promise((resolve, reject) => {
      this.#wake = () => {
        if (this.#isStopped()) resolve(undefined);
      };
      if (this.#isStopped()) resolve(undefined);
      promise.then(resolve, reject);
    });
  }

  get #hasRoom(): boolean {
    const { store, concurrency, controllers } = this.#options;
    const { pending, inFlight, deferred } = this.#scheduler.counts;
    return (
      pending + inFlight < (1 + AHEAD) * concurrency * controllers.length &&
      deferred < MOST_DEFERRED &&
      (store.bytes < AHEAD_BYTES || pending + inFlight === 0)
    );
  }

  /** Waits until everything has ended, and proves what is only acknowledged. */
  async #drain(): Promise<void> {
    for (;;) {
      const { pending, inFlight, deferred } = this.#scheduler.counts;
      if (this.#scheduler.isAborted) return;
      if (this.#sampler.size > 0) {
        if (pending + inFlight === 0) this.#proveRest();
      } else if (pending + inFlight + (this.#isStopped() ? 0 : deferred) === 0) {
        return;
      } else {
        this.#leftovers.settle();
      }
      await this.#untilSomethingEnds();
    }
  }

  /** Proves what is only acknowledged so far: the last message of each controller goes again. */
  #proveRest(): void {
    for (const each of this.#sampler.takeLast()) this.#backlog.queueUp(each);
    this.#scheduler.wake();
  }

  #untilSomethingEnds(): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(LOOK_MS, () => {
        this.#wake?.();
      });
      this.#wake = () => {
        timer.cancel();
        this.#wake = undefined;
        resolve();
      };
    });
  }

  #end(ending: Ending): void {
    const { shutdownMs, controllers } = this.#options;
    if (this.#isStopped()) return;
    this.#ended = ending;
    this.#ending.abort();
    // Where no controller is open, none will answer.
    this.#scheduler.hurryUp(controllers.some((each) => each.isOpen) ? shutdownMs : 0);
    this.#wake?.();
  }

  /** Notices when the run gets nowhere. */
  async #lookOut(): Promise<void> {
    const { clock, waitMs, controllers, store } = this.#options;
    let ended = 0;
    let probedAt = 0;
    while (!this.#ending.signal.aborted) {
      const now = clock.monotonic();
      const isAway = controllers.every((each) => !each.isOpen);
      const isStuck = isAway || this.#leftovers.isGoingNowhere;
      if (!isStuck || store.ended > ended) this.#stuckSince = undefined;
      if (isStuck) this.#stuckSince ??= now;
      else probedAt = now;
      ended = store.ended;
      const isRefused = controllers.every((each) => each.state === 'misconfigured');
      if (isRefused && store.ended === 0) this.#end('misconfigured');
      else if (this.#stuckSince !== undefined && now - this.#stuckSince >= waitMs) {
        this.#end(this.#leftovers.isFailing ? 'failing' : 'away');
      } else if (now - probedAt >= waitMs / PROBES_IN_WAIT) {
        probedAt = now;
        this.#probe();
      }
      await sleep(clock, LOOK_MS, this.#ending.signal);
    }
  }

  /** Probes what is down now. A lack of proof is shown by other messages, not by more posts. */
  #probe(): void {
    for (const each of this.#options.controllers) {
      if (each.state === 'down' && !each.lacksOnlyProof) each.retryNow();
    }
    this.#scheduler.wake();
  }
}
