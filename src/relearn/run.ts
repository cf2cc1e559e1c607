import { setMaxListeners } from 'node:events';
import { sleep } from '../clock.ts';
import type { Clock, Timer } from '../clock.ts';
import { Bugs } from '../bugs.ts';
import type { Controller } from '../learning/controller.ts';
import { Dispatcher } from '../learning/dispatcher.ts';
import { Lanes } from '../learning/lanes.ts';
import { Learner } from '../learning/learner.ts';
import { Ledger } from '../learning/ledger.ts';
import { MessageLog } from '../learning/message-log.ts';
import { PostOffice } from '../learning/post-office.ts';
import { acquits } from '../learning/witness.ts';
import type { Log } from '../logger.ts';
import { alternate } from './sources/alternate.ts';
import type { Found, Source } from './sources/source.ts';
import { Faults } from '../spool/faults.ts';
import type { BulkStore } from './bulk-store.ts';

/**
 * One bulk run: reads the sources no faster than the controllers learn, and has every message
 * delivered by the same dispatcher, blame and proof as the daemon's.
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
/** Rounds of posts without proof after which the last messages are let go, so many at most. */
const LAST_ROUNDS = 2;
const LAST_MESSAGES = 10;
/** Errors that the last messages get, with others proven in between, before they count as failed. */
const LAST_ERRORS = 3;

export class BulkRun {
  readonly #options: BulkRunOptions;
  readonly #dispatcher: Dispatcher;
  /** Ends waits; what is in flight goes on. */
  readonly #ending = new AbortController();
  /** Ends what is in flight. */
  readonly #abort = new AbortController();
  readonly #ledger: Ledger;
  #wake: (() => void) | undefined;
  #stuckSince: number | undefined;
  #ended: Ending | undefined;
  #deadline: Timer | undefined;

  constructor(options: BulkRunOptions) {
    const { store, controllers, clock, random, log, concurrency, maxAttempts } = options;
    this.#options = options;
    for (const { signal } of [this.#ending, this.#abort]) setMaxListeners(0, signal);
    const lanes = new Lanes(() => clock.monotonic());
    const bugs = new Bugs({ clock, log });
    const faults = new Faults({ clock, log, bugs });
    const pause = (ms: number): Promise<void> => sleep(clock, ms, this.#ending.signal);
    const office = new PostOffice(controllers, lanes, this.#abort.signal, pause);
    const onReleased = (): void => {
      this.#wake?.();
    };
    this.#ledger = new Ledger({ proveEvery: options.proveEvery });
    const ledger = this.#ledger;
    this.#dispatcher = new Dispatcher({
      controllers,
      store,
      learner: new Learner({ store, faults, lanes, ledger, office, pause, clock }),
      lanes,
      ledger,
      messages: new MessageLog(log, clock),
      faults,
      bugs,
      clock,
      random,
      acquits: (controller) => acquits(controller, lanes, office, pause, onReleased),
      onReleased,
      concurrency,
      maxAttempts,
      // what is offered is bounded here
      backlog: Number.MAX_SAFE_INTEGER,
      settleMs: 0,
      rescanMs: 3_600_000,
    });
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
    this.#dispatcher.start();
    try {
      await this.#feed();
      await this.#drain();
    } finally {
      stop.removeEventListener('abort', onStop);
      this.#ending.abort();
      await this.#dispatcher.stop();
      this.#deadline?.cancel();
      await lookout;
    }
    return this.#ended ?? 'complete';
  }

  /** The last error that rspamd answered to a message that is left over. */
  errorOf(place: string): string | undefined {
    return this.#dispatcher.errorOf(place);
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
        this.#dispatcher.offer(store.put(found.place, source.verdict, found.body), true);
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
    const { pending, inFlight, deferred } = this.#dispatcher.counts;
    return (
      pending + inFlight < (1 + AHEAD) * concurrency * controllers.length &&
      deferred < MOST_DEFERRED &&
      (store.bytes < AHEAD_BYTES || pending + inFlight === 0)
    );
  }

  /** Waits until everything has ended, and proves what is only acknowledged. */
  async #drain(): Promise<void> {
    for (;;) {
      const { pending, inFlight, deferred } = this.#dispatcher.counts;
      if (this.#abort.signal.aborted) return;
      if (this.#ledger.size > 0) {
        if (pending + inFlight === 0) this.#dispatcher.proveRest();
      } else if (pending + inFlight + (this.#isStopped() ? 0 : deferred) === 0) {
        return;
      } else {
        this.#dispatcher.letUnprovenGo(LAST_ROUNDS, LAST_MESSAGES);
        this.#dispatcher.endRepeaters(LAST_ERRORS);
      }
      await this.#untilSomethingEnds();
    }
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
    const { clock, shutdownMs, controllers } = this.#options;
    if (this.#isStopped()) return;
    this.#ended = ending;
    this.#ending.abort();
    // Nobody is there who could answer.
    if (!controllers.some((each) => each.isOpen)) this.#abort.abort();
    this.#deadline = clock.after(shutdownMs, () => {
      this.#abort.abort();
    });
    this.#wake?.();
  }

  /** Notices when the run gets nowhere. */
  async #lookOut(): Promise<void> {
    const { clock, waitMs, controllers, store } = this.#options;
    let ended = 0;
    while (!this.#ending.signal.aborted) {
      const now = clock.monotonic();
      const isAway = controllers.every((each) => !each.isOpen);
      const isStuck = isAway || this.#dispatcher.isGoingNowhere;
      if (!isStuck || store.ended > ended) this.#stuckSince = undefined;
      if (isStuck) this.#stuckSince ??= now;
      ended = store.ended;
      const isRefused = controllers.every((each) => each.state === 'misconfigured');
      if (isRefused && store.ended === 0) this.#end('misconfigured');
      else if (this.#stuckSince !== undefined && now - this.#stuckSince >= waitMs)
        this.#end(this.#dispatcher.isFailing ? 'failing' : 'away');
      await sleep(clock, LOOK_MS, this.#ending.signal);
    }
  }
}
