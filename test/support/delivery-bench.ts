import { truncateSync } from 'node:fs';
import { onTestFinished } from 'vitest';
import { SpoolStore } from '../../src/daemon/spool-store.ts';
import { Affinity } from '../../src/delivery/affinity.ts';
import { MessageEvents } from '../../src/delivery/events.ts';
import { Scheduler } from '../../src/delivery/scheduler.ts';
import { SparseProofs } from '../../src/relearn/proof-sampler.ts';
import { MessageLocks } from '../../src/spool/message-locks.ts';
import { VERDICTS } from '../../src/verdict.ts';
import type { Verdict } from '../../src/verdict.ts';
import { PostCounts } from '../../src/spool/post-counts.ts';
import { Bench } from './bench.ts';
import type { LogRecorder } from './log-recorder.ts';
import { Holder, ScriptedTrainer } from './scripted-trainer.ts';
import type { Rule } from './scripted-trainer.ts';
import { TestSpool } from './test-spool.ts';

interface DeliveryBenchOptions {
  /** @defaultValue one that learns */
  readonly trainers?: readonly ScriptedTrainer[];
  /** @defaultValue 8 */
  readonly concurrency?: number;
  /** @defaultValue 1000 */
  readonly backlog?: number;
  /** @defaultValue 3 */
  readonly maxAttempts?: number;
  /** @defaultValue each message is proven, without a sampler */
  readonly proveEvery?: number;
  /** @defaultValue `remove` */
  readonly after?: 'remove' | 'archive';
  /** @defaultValue 1 MiB */
  readonly maxBytes?: number;
}

interface MadeUp {
  /** @defaultValue `spam` */
  readonly verdict?: Verdict;
  /** The Message-ID. @defaultValue made of the name */
  readonly id?: string;
  /** @defaultValue made of the name */
  readonly body?: string;
  /** The name that the trainer sees. @defaultValue the key */
  readonly name?: string;
  /** The file's size: the rest of it is zeros that take no room on the disk. */
  readonly bytes?: number;
}

export const SETTLE_MS = 2_000;
export const RESCAN_MS = 30_000;

/**
 * The delivery on a real queue, started, with scripted trainers and a clock of the test's. Messages are
 * named by their keys.
 */
export class DeliveryBench extends Bench {
  readonly spool: TestSpool;
  readonly locks = new MessageLocks();
  readonly affinity = new Affinity(this.clock);
  readonly sampler: SparseProofs | undefined;
  readonly events: MessageEvents;
  readonly scheduler: Scheduler;
  /** Keys that were said to be in flight no longer. */
  readonly released: string[] = [];
  protected override readonly stepMs = 1;

  constructor(options: DeliveryBenchOptions = {}) {
    super(options.trainers ?? [new ScriptedTrainer()]);
    const { clock, log, random, bugs, faults, controllers, locks, affinity } = this;
    const { after = 'remove', concurrency = 8, backlog = 1_000, maxAttempts = 3 } = options;
    const { maxBytes, proveEvery } = options;
    this.spool = new TestSpool({ maxBytes });
    const { queue, quarantine, stateDir } = this.spool;
    const { archive } = stateDir;
    const sampler = proveEvery === undefined ? undefined : new SparseProofs(proveEvery);
    this.sampler = sampler;
    this.events = new MessageEvents({ log, clock, filter: 'rspamd', verdicts: VERDICTS });
    const wall = (): number => clock.wall();
    const postCounts = new PostCounts(stateDir.posts, stateDir.temporary, queue);
    locks.onKeyReleased((key) => this.released.push(key));
    this.scheduler = new Scheduler({
      ...{ clock, random, bugs, faults, controllers, locks, affinity, events: this.events },
      ...{ concurrency, backlog, maxAttempts, settleMs: SETTLE_MS, rescanMs: RESCAN_MS },
      ...(sampler && { sampler }),
      store: new SpoolStore({ queue, quarantine, postCounts, archive, after, wall }),
    });
    this.scheduler.start();
    onTestFinished(async () => {
      this.scheduler.hurryUp(0);
      clock.advance(0);
      await this.scheduler.stop();
    });
  }

  /** A bench whose controllers are up: the first one has learned a message. They play these rules now. */
  static async warm(
    options: DeliveryBenchOptions = {},
    ...rules: readonly Rule[]
  ): Promise<DeliveryBench> {
    const bench = new DeliveryBench(options);
    bench.put('warm-up');
    await bench.finish();
    bench.forget();
    bench.trainer.plays(...rules);
    return bench;
  }

  /** Forgets what was posted and logged so far. */
  forget(): void {
    for (const { posts } of this.trainers) posts.length = 0;
    this.recorder.lines.length = 0;
  }

  /** Puts messages, whose posts wait, and lets time flow until so many are posted. */
  async hold(keys: readonly string[], posted = keys.length): Promise<Holder> {
    const holder = this.holds();
    for (const key of keys) this.put(key);
    await this.flowUntil(`${posted} are posted`, () => holder.names.length === posted);
    return holder;
  }

  /** Has posts wait at the first trainer: those of these messages, or all. */
  holds(...names: readonly string[]): Holder {
    const holder = new Holder();
    this.trainer.plays(holder.of(...names));
    return holder;
  }

  /** Puts a message into the queue's folder, and says nothing of it. */
  enqueue(key: string, made: MadeUp = {}): string {
    const { verdict = 'spam', id = `${key}@example.org`, body = `The body of ${key}.` } = made;
    const text = `X-Test: ${made.name ?? key}\r\nMessage-ID: <${id}>\r\n\r\n${body}\r\n`;
    const path = this.spool.enqueue(verdict, key, text);
    if (made.bytes !== undefined) truncateSync(path, made.bytes);
    return path;
  }

  /** Puts a complete message into the queue, as pickup does. */
  put(key: string, made: MadeUp = {}): string {
    const path = this.enqueue(key, made);
    this.scheduler.enqueued(this.spool.entry(made.verdict ?? 'spam', key), true);
    return path;
  }

  /** Lets hardly any time pass until `isSo`: for what waits for the disk, but for no clock. */
  soon(what: string, isSo: () => boolean): Promise<void> {
    return this.clock.flowUntil(what, isSo, 0.02);
  }

  flow(ms: number): Promise<void> {
    return this.clock.flow(ms, Math.max(1, ms / 2_000));
  }

  /** Lets time flow until nothing is left of the queue, in memory or on disk. */
  async finish(stepMs = 1): Promise<void> {
    await this.flowUntil('the queue is empty', () => this.isEmpty, stepMs);
  }

  /** Lets time flow until a message is learned. */
  async finishOf(name: string): Promise<void> {
    await this.flowUntil(`${name} is learned`, () =>
      this.filesOf('message.learned').includes(name),
    );
  }

  /** Looks at what the controllers show every five seconds, as the daemon does. */
  watchFigures(): void {
    for (const controller of this.controllers) {
      void controller.trainer.statistics?.(new AbortController().signal).then((figures) => {
        if (figures === undefined) return;
        if (controller.observe(figures, figures.learns ?? 0)) this.scheduler.wake();
      });
    }
    this.clock.after(5_000, () => this.watchFigures());
  }

  get isEmpty(): boolean {
    const { pending, deferred, inFlight } = this.scheduler.counts;
    return pending + deferred + inFlight === 0 && this.spool.queued.length === 0;
  }

  /** The keys that lie in quarantine, whatever their verdict. */
  get quarantined(): string[] {
    return [...this.spool.names('quarantine/spam'), ...this.spool.names('quarantine/ham')].filter(
      (name) => !name.endsWith('.json'),
    );
  }

  /** What the lines of one event say of which file. */
  filesOf(event: Parameters<LogRecorder['of']>[0]): unknown[] {
    return this.recorder.fieldOf(event, 'file');
  }
}
