import { expect, onTestFinished } from 'vitest';
import { LogThrottle } from '../../src/logger.ts';
import type { LogEvent } from '../../src/logger.ts';
import { DropDirectory } from '../../src/spool/drop-directory.ts';
import type { Folder } from '../../src/spool/folder.ts';
import type { LockResult } from '../../src/spool/owner.ts';
import type { QueueEntry } from '../../src/spool/message.ts';
import { Pickup } from '../../src/spool/pickup.ts';
import { MessageLocks } from '../../src/spool/message-locks.ts';
import { Requeue } from '../../src/spool/requeue.ts';
import type { Verdict } from '../../src/verdict.ts';
import { Bench } from './bench.ts';
import { TestSpool } from './test-spool.ts';

export const SETTLE_MS = 2_000;
export const MARKED_MS = 200;

interface PickupBenchOptions {
  readonly spool?: TestSpool;
  /** @defaultValue 30 s */
  readonly sweepMs?: number;
  /** Sweeps every two seconds instead of watching. @defaultValue true */
  readonly polling?: boolean;
  readonly lock?: (folder: Folder) => Promise<LockResult>;
}

/** What pickup told the delivery. */
interface Queued {
  /** `VERDICT/KEY` */
  readonly place: string;
  readonly settled: boolean;
}

/** Locks that tell which keys are held. */
class ListedLocks extends MessageLocks {
  readonly keys = new Set<string>();

  override holdKey(key: string): void {
    this.keys.add(key);
    super.holdKey(key);
  }

  override releaseKey(key: string): void {
    this.keys.delete(key);
    super.releaseKey(key);
  }
}

/** Pickup on a real spool, with a clock of the test's and a delivery that only takes notes. */
export class PickupBench extends Bench {
  readonly spool: TestSpool;
  readonly drop: DropDirectory;
  readonly requeue: Requeue;
  readonly ending = new AbortController();
  readonly pickup: Pickup;
  readonly queued: Queued[] = [];
  /** `VERDICT/KEY` of what gave way. */
  readonly superseded: string[] = [];
  readonly lost: string[] = [];
  /** How often the queue may hold more than was told. */
  faulted = 0;
  /** Of keys that are in flight, or being moved by pickup itself. */
  readonly locks = new ListedLocks();
  #sentinels = 0;

  constructor(options: PickupBenchOptions = {}) {
    super();
    const { clock, log, bugs, faults, locks } = this;
    const { spool = new TestSpool(), sweepMs = 30_000, polling = true } = options;
    const { lock = () => Promise.resolve('locked') } = options;
    const throttle = new LogThrottle(clock);
    this.spool = spool;
    const { queue, quarantine, stateDir, maxBytes } = spool;
    const libDir = spool.lib;
    const drop = new DropDirectory({ libDir, queue: stateDir.queue, faults, log, throttle });
    this.drop = drop;
    const gaveWay = (verdict: Verdict, key: string) => this.superseded.push(`${verdict}/${key}`);
    const events = {
      enqueued: ({ verdict, key }: QueueEntry, settled: boolean) =>
        this.queued.push({ place: `${verdict}/${key}`, settled }),
      superseded: gaveWay,
      outdated: gaveWay,
      rescan: () => {
        this.faulted += 1;
      },
    };
    const common = { queue, quarantine, drop, locks, events, faults };
    const ending = this.ending.signal;
    this.requeue = new Requeue({ ...common, folders: stateDir.release, ending });
    this.pickup = new Pickup({
      ...common,
      ...{ bugs, clock, log, throttle, lock, sweepMs, polling, maxBytes },
      requeue: this.requeue,
      former: stateDir.former,
      temporary: stateDir.temporary,
      onLost: (reason) => this.lost.push(reason),
      settleMs: SETTLE_MS,
    });
    onTestFinished(() => this.stop());
  }

  /** The keys that are held. */
  get held(): ReadonlySet<string> {
    return this.locks.keys;
  }

  /** Makes the pickup of a test and starts it. */
  static async start(options: PickupBenchOptions = {}): Promise<PickupBench> {
    const bench = new PickupBench(options);
    await bench.start();
    return bench;
  }

  async start(): Promise<void> {
    await this.pickup.openFolders();
    this.pickup.start();
  }

  async stop(): Promise<void> {
    await this.pickup.stop();
    this.drop.close();
  }

  /** The places of what came into the queue so far, sorted. */
  get places(): string[] {
    return this.queued.map(({ place }) => place).sort();
  }

  has(place: string): boolean {
    return this.queued.some((each) => each.place === place);
  }

  /** Lets time flow until these came into the queue. */
  async flowUntilQueued(...places: readonly string[]): Promise<void> {
    await this.flowUntil(`${places.join(' and ')} came into the queue`, () =>
      places.every((place) => this.has(place)),
    );
  }

  /** Lets time flow until these are all that is queued, and proves that it stays so. */
  async flowToTheEnd(...places: readonly string[]): Promise<void> {
    await this.flowUntilQueued(...places);
    await this.pass(10_000);
    expect(this.spool.queued).toEqual([...places].sort());
  }

  /**
   * One pass while time flows.
   * @param meanwhile is called again and again until it is over
   * @returns how many files stay
   */
  async onePass(meanwhile?: () => void): Promise<number> {
    let stays: number | undefined;
    void this.pickup.pass().then((count) => {
      stays = count;
    });
    await this.flowUntil('the pass is over', () => {
      if (stays === undefined) meanwhile?.();
      return stays !== undefined;
    });
    return stays ?? 0;
  }

  /** Lets time flow until there is a line of this event. */
  async flowUntilLogged(event: LogEvent): Promise<void> {
    await this.flowUntil(`${event} is logged`, () => this.recorder.of(event).length > 0);
  }

  /**
   * Lets time pass in which something doesn't happen, and proves by a file of its own that pickup
   * was at work all the same.
   */
  async pass(ms: number): Promise<void> {
    await this.clock.flow(ms, Math.max(10, ms / 5_000));
    this.#sentinels += 1;
    const name = `sentinel-${this.#sentinels}`;
    this.spool.drop('ham', name);
    await this.flowUntil(`${name} came into the queue`, () => this.has(`ham/${name}`));
    this.queued.splice(
      this.queued.findIndex(({ place }) => place === `ham/${name}`),
      1,
    );
    this.spool.queue.removeKey(name);
  }
}
