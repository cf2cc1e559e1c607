import { Bugs } from '../bugs.ts';
import type { Timer } from '../clock.ts';
import { MessageEvents } from '../delivery/events.ts';
import type { PendingMessage } from '../delivery/message.ts';
import { MOST_POSTS, NOTHING_LEFT } from '../delivery/proof.ts';
import { quarantined } from '../delivery/result.ts';
import { Scheduler } from '../delivery/scheduler.ts';
import type { DeliveryOptions } from '../delivery/store.ts';
import type { Log } from '../logger.ts';
import { DiskFaults } from '../spool/disk-faults.ts';
import { MessageLocks } from '../spool/message-locks.ts';
import { BulkStore } from './bulk-store.ts';
import type { Journal } from './journal.ts';
import { SparseProofs } from './proof-sampler.ts';
import type { Sample } from './sample.ts';
import { alternate, expectedOf } from './sources/alternate.ts';
import type { Source } from './sources/source.ts';
import type { Named, RunStats } from './stats.ts';

/**
 * One bulk run: reads the sources no faster than the controllers learn, and has every message
 * delivered by the same scheduler, attribution and proof as the daemon's. Unlike the daemon, a run has
 * a last message, and an end: what only a message that never comes could decide is decided here.
 */
export interface BulkRunOptions extends Pick<
  DeliveryOptions,
  'controllers' | 'clock' | 'random' | 'findUser' | 'concurrency' | 'maxAttempts'
> {
  readonly sources: readonly Source[];
  /** Hears of everything in the sources, and of what came of it. */
  readonly stats: RunStats;
  /** @defaultValue none */
  readonly journal?: Journal | undefined;
  readonly log: Log;
  /** One of so many messages is proven. */
  readonly proveEvery: number;
  /** Takes from what is proven by other messages. @defaultValue nothing is taken */
  readonly drawn?: Sample;
  /** At most so many messages are posted. */
  readonly limit: number;
  /**
   * How long no controller may learn, or nothing but failed messages be left, in milliseconds.
   * @defaultValue five minutes, and ten seconds while rspamd has not answered once
   */
  readonly waitMs?: number | undefined;
  /** How long a stop waits for what is in flight, in milliseconds. */
  readonly shutdownMs: number;
}

/**
 * How a run ended: `complete` when the sources are read to their end, `limited` at the limit,
 * `interrupted` by a stop, `away` after the longest wait, `misconfigured` when no controller takes our
 * posts from the start.
 */
export type Ending = 'complete' | 'limited' | 'interrupted' | 'away' | 'misconfigured';

/** Messages that are read ahead, as a multiple of those in flight. */
const AHEAD = 2;
const AHEAD_BYTES = 64 * 1024 * 1024;
/** Messages that failed and wait for another try. */
const MOST_DEFERRED = 1_000;
const WAIT_MS = 300_000;
const FIRST_WAIT_MS = 10_000;
const LOOK_MS = 250;
/** What is down is probed so often in the longest wait: a controller's backoff may be as long. */
const PROBES_IN_WAIT = 10;
/** Many unproven messages at the end are an outage; so many at most are let go. */
const LAST_MESSAGES = 10;
/** Rounds of posts without proof after which the last messages are let go. */
const LAST_ROUNDS = 2;
/** Errors that the last messages get, with others proven in between, before they count as failed. */
const LAST_ERRORS = 3;

export class BulkRun {
  readonly #options: BulkRunOptions;
  readonly #store: BulkStore;
  readonly #events: MessageEvents;
  readonly #scheduler: Scheduler;
  readonly #sampler: SparseProofs;
  #timer: Timer | undefined;
  #wake: () => void = () => undefined;
  /** How it was ended before its time. */
  #given: Ending | undefined;
  /** What the last look saw, and since when the run gets nowhere. */
  #ended = 0;
  #stuckSince = 0;
  #probedAt = 0;

  constructor(options: BulkRunOptions) {
    const { clock, log } = options;
    this.#options = options;
    this.#store = new BulkStore(options.stats, options.journal);
    const filter = options.controllers[0]?.trainer.filter ?? 'rspamd';
    this.#events = new MessageEvents({ log, clock, filter, verdicts: this.#store.verdicts });
    const bugs = new Bugs({ clock, log });
    const locks = new MessageLocks();
    this.#sampler = new SparseProofs(options.proveEvery, ({ entry, identity }) => {
      const body = this.#store.bodyOf(entry);
      if (body !== undefined) options.drawn?.offer(entry, body, identity?.locks ?? []);
    });
    this.#scheduler = new Scheduler({
      ...options,
      store: this.#store,
      locks,
      sampler: this.#sampler,
      events: this.#events,
      faults: new DiskFaults({ clock, log, bugs }),
      bugs,
      // What is offered is bounded here.
      backlog: Number.MAX_SAFE_INTEGER,
      settleMs: 0,
      rescanMs: 3_600_000,
    });
    locks.onKeyReleased(() => this.#wake());
  }

  /**
   * Works until all is done, or until `stop` is aborted.
   * @returns how it ended
   */
  async run(stop: AbortSignal): Promise<Ending> {
    const onStop = (): void => this.#end('interrupted');
    stop.addEventListener('abort', onStop, { once: true });
    if (stop.aborted) onStop();
    this.#scheduler.start();
    this.#lookOut();
    try {
      const ending = await this.#feed();
      await this.#drain();
      return this.#given ?? ending;
    } finally {
      stop.removeEventListener('abort', onStop);
      this.#timer?.cancel();
      await this.#scheduler.stop();
    }
  }

  /** How many messages are acknowledged and not proven. */
  get acknowledged(): number {
    return this.#sampler.size;
  }

  /** Messages of which no header field said whose they are. */
  get userless(): number {
    return this.#events.userless;
  }

  /** The messages that were read and have not ended, and what keeps them. */
  get left(): readonly Named[] {
    const [general = 'its turn did not come'] = this.#options.controllers.flatMap(
      (each) => each.reason ?? [],
    );
    return this.#store.places.map((place) => ({
      place,
      reason: this.#scheduler.backlog.find(place)?.failures.error ?? general,
    }));
  }

  /** Reads the sources, and offers what they hold while there is room. */
  async #feed(): Promise<Ending> {
    const { sources, stats, limit } = this.#options;
    let offered = 0;
    const things = alternate(sources, expectedOf);
    try {
      for (;;) {
        const next = await this.#unlessEnded(things.next());
        if (next === undefined || next.done === true) return 'complete';
        const { source, found } = next.value;
        if (found.kind === 'message' && offered === limit) return 'limited';
        stats.found(found, source.verdict);
        if (found.kind === 'message') {
          offered += 1;
          const entry = this.#store.put(found.place, source.verdict, found.body);
          this.#scheduler.enqueued(entry, true);
        }
        while (!this.#hasRoom && this.#given === undefined) await this.#untilSomethingEnds();
      }
    } finally {
      void things.return();
    }
  }

  get #hasRoom(): boolean {
    const { concurrency, controllers } = this.#options;
    const { pending, inFlight, deferred } = this.#scheduler.counts;
    return (
      pending + inFlight < (1 + AHEAD) * concurrency * controllers.length &&
      deferred < MOST_DEFERRED &&
      (this.#store.bytes < AHEAD_BYTES || pending + inFlight === 0)
    );
  }

  /** Waits until everything has ended; what is acknowledged is proven by the last message. */
  async #drain(): Promise<void> {
    while (!this.#scheduler.isAborted) {
      const { pending, inFlight, deferred } = this.#scheduler.counts;
      const isIdle = pending + inFlight === 0;
      if (this.#sampler.size > 0) {
        if (isIdle) this.#proveRest();
      } else if (isIdle && (deferred === 0 || this.#given !== undefined)) {
        return;
      } else if (inFlight === 0) {
        this.#decideLast();
      }
      await this.#untilSomethingEnds();
    }
  }

  // --- the last messages

  /** The last message of each controller goes again: its proof is that of the others. */
  #proveRest(): void {
    for (const each of this.#sampler.takeLast()) this.#scheduler.backlog.queueUp(each);
    this.#scheduler.wake();
  }

  /** Ends the last messages where no other comes any more that could show what their failures mean. */
  #decideLast(): void {
    const { waiting } = this.#scheduler.backlog;
    const answering = this.#options.controllers.filter((each) => each.lacksOnlyProof);
    if (waiting.every(({ failures }) => failures.repeats >= LAST_ERRORS)) {
      for (const each of waiting) {
        const error = each.failures.error ?? 'an unknown error';
        each.disposition = quarantined(`${error}, each time, while others were learned`);
        this.#scheduler.backlog.hurry(each);
      }
    } else if (waiting.length <= LAST_MESSAGES && waiting.every(isSpent) && answering.length > 0) {
      for (const { proof } of waiting) proof.letGo = NOTHING_LEFT;
      for (const each of answering) each.retryNow();
    } else {
      return;
    }
    this.#scheduler.wake();
  }

  // --- waiting, and giving up

  /** Standard input may say nothing for ever: an end doesn't wait for it. */
  #unlessEnded<T>(promise: Promise<T>): Promise<T | undefined> {
    return new Promise((resolve, reject) => {
      this.#wake = () => {
        if (this.#given !== undefined) resolve(undefined);
      };
      this.#wake();
      promise.then(resolve, reject);
    });
  }

  #untilSomethingEnds(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #end(ending: Ending): void {
    const { shutdownMs, controllers } = this.#options;
    if (this.#given !== undefined) return;
    this.#given = ending;
    // Where no controller is open, none will answer.
    this.#scheduler.hurryUp(controllers.some((each) => each.isOpen) ? shutdownMs : 0);
    this.#wake();
  }

  /** Ends a run that gets nowhere; until then what is down is probed. */
  #lookOut(): void {
    const { clock, controllers, stats } = this.#options;
    const now = clock.monotonic();
    const isHeard =
      stats.posted > 0 || controllers.some(({ trainer }) => trainer.version !== undefined);
    const patienceMs = this.#options.waitMs ?? (isHeard ? WAIT_MS : FIRST_WAIT_MS);
    const isStuck = this.#isStuck;
    if (!isStuck || stats.ended > this.#ended) this.#stuckSince = now;
    if (!isStuck) this.#probedAt = now;
    this.#ended = stats.ended;
    const isRefused = controllers.every((each) => each.state === 'misconfigured');
    if (isRefused && stats.posted === 0) this.#end('misconfigured');
    else if (isStuck && now - this.#stuckSince >= patienceMs) this.#end('away');
    else if (now - this.#probedAt >= patienceMs / PROBES_IN_WAIT) this.#probe(now);
    this.#timer = clock.after(LOOK_MS, () => this.#lookOut());
    this.#wake();
  }

  /** Probes what is down now. A lack of proof is shown by other messages, not by more posts. */
  #probe(now: number): void {
    this.#probedAt = now;
    for (const each of this.#options.controllers) {
      if (each.state === 'down' && !each.lacksOnlyProof) each.retryNow();
    }
    this.#scheduler.wake();
  }

  /** True when every message that is left has failed, or no controller is open to it. */
  get #isStuck(): boolean {
    if (this.#options.controllers.every((each) => !each.isOpen)) return true;
    const left = [...this.#scheduler.backlog.waiting, ...this.#scheduler.backlog.inFlight.values()];
    const isStuck = (each: PendingMessage): boolean =>
      each.failures.any || this.#scheduler.boundTo(each)?.isOpen === false;
    return left.length > 0 && left.every(isStuck);
  }
}

/** Posted without proof as often as the last messages are. */
function isSpent({ proof: { unprovenTries, posts = 0 } }: PendingMessage): boolean {
  return unprovenTries >= LAST_ROUNDS || posts >= MOST_POSTS;
}
