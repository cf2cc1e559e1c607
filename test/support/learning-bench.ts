import { setMaxListeners } from 'node:events';
import { truncateSync } from 'node:fs';
import { onTestFinished } from 'vitest';
import { Bugs } from '../../src/bugs.ts';
import { sleep } from '../../src/clock.ts';
import { Controller } from '../../src/learning/controller.ts';
import { Dispatcher } from '../../src/learning/dispatcher.ts';
import { Lanes } from '../../src/learning/lanes.ts';
import { Ledger } from '../../src/learning/ledger.ts';
import { Learner } from '../../src/learning/learner.ts';
import { MessageLog } from '../../src/learning/message-log.ts';
import { PostOffice } from '../../src/learning/post-office.ts';
import { SpoolStore } from '../../src/learning/spool-store.ts';
import { acquits } from '../../src/learning/witness.ts';
import { Disposal } from '../../src/spool/disposal.ts';
import { Faults } from '../../src/spool/faults.ts';
import type { Verdict } from '../../src/verdict.ts';
import { PostCounts } from '../../src/spool/post-counts.ts';
import { LogRecorder } from './log-recorder.ts';
import { ManualClock } from './manual-clock.ts';
import { ScriptedTrainer } from './scripted-trainer.ts';
import { TestSpool } from './test-spool.ts';

export interface LearningBenchOptions {
  /** @defaultValue one that learns */
  readonly trainers?: readonly ScriptedTrainer[];
  /** @defaultValue 8 */
  readonly concurrency?: number;
  /** @defaultValue 1000 */
  readonly backlog?: number;
  /** @defaultValue 3 */
  readonly maxAttempts?: number;
  /** @defaultValue 1 */
  readonly proveEvery?: number;
  /** @defaultValue `remove` */
  readonly after?: 'remove' | 'archive';
  /** @defaultValue 1 MiB */
  readonly maxBytes?: number;
}

export interface MadeUp {
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
 * The learning side on a real queue, with scripted trainers and a clock of the test's. Messages are
 * named by their keys.
 */
export class LearningBench {
  readonly clock = new ManualClock();
  readonly recorder = new LogRecorder();
  readonly spool: TestSpool;
  readonly bugs: Bugs;
  readonly faults: Faults;
  readonly lanes: Lanes;
  readonly ledger: Ledger;
  readonly messages: MessageLog;
  readonly trainers: readonly ScriptedTrainer[];
  readonly controllers: readonly Controller[];
  readonly dispatcher: Dispatcher;
  /** Keys that were said to be in flight no longer. */
  readonly released: string[] = [];
  readonly #abort = new AbortController();

  constructor(options: LearningBenchOptions = {}) {
    const { clock, recorder } = this;
    const { log } = recorder;
    const random = (): number => 0.5;
    const { maxBytes } = options;
    setMaxListeners(0, this.#abort.signal);
    this.spool = new TestSpool(maxBytes === undefined ? {} : { maxBytes });
    const { queue, quarantine, stateDir } = this.spool;
    const { after = 'remove', concurrency = 8, backlog = 1_000, maxAttempts = 3 } = options;
    this.bugs = new Bugs({ clock, log });
    this.faults = new Faults({ clock, log, bugs: this.bugs });
    this.ledger = new Ledger({ proveEvery: options.proveEvery ?? 1 });
    this.lanes = new Lanes(() => clock.monotonic());
    this.messages = new MessageLog(log, clock);
    this.trainers = options.trainers ?? [new ScriptedTrainer()];
    this.controllers = this.trainers.map(
      (trainer) => new Controller({ trainer, clock, random, log }),
    );
    const pause = (ms: number): Promise<void> => sleep(clock, ms, this.#abort.signal);
    const office = new PostOffice(this.controllers, this.lanes, this.#abort.signal, pause);
    const wall = (): number => clock.wall();
    const onReleased = (key: string): void => {
      this.released.push(key);
    };
    const { faults, lanes, ledger } = this;
    const disposal = new Disposal({ queue, archive: stateDir.archive, after, wall });
    const postCounts = new PostCounts(stateDir.posts, stateDir.temporary, queue);
    const store = new SpoolStore({ queue, quarantine, disposal, postCounts, wall });
    this.dispatcher = new Dispatcher({
      controllers: this.controllers,
      store,
      learner: new Learner({ store, faults, lanes, ledger, office, pause, clock }),
      lanes,
      ledger,
      messages: this.messages,
      faults: this.faults,
      bugs: this.bugs,
      clock,
      random,
      acquits: (controller) => acquits(controller, this.lanes, office, pause, onReleased),
      onReleased,
      concurrency,
      backlog,
      maxAttempts,
      settleMs: SETTLE_MS,
      rescanMs: RESCAN_MS,
    });
    onTestFinished(async () => {
      this.#abort.abort();
      await this.dispatcher.stop();
    });
  }

  /** The first trainer: the only one unless there are several. */
  get trainer(): ScriptedTrainer {
    const [first] = this.trainers;
    if (first === undefined) throw new Error('there is no trainer');
    return first;
  }

  get controller(): Controller {
    const [first] = this.controllers;
    if (first === undefined) throw new Error('there is no controller');
    return first;
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
    const entry = this.spool.queue.find(made.verdict ?? 'spam', key);
    if (entry === undefined) throw new Error(`${key} is gone`);
    this.dispatcher.offer(entry, true);
    return path;
  }

  /** Lets time flow, a millisecond with each turn of the event loop unless said otherwise. */
  flowUntil(what: string, isSo: () => boolean, stepMs = 1): Promise<void> {
    return this.clock.flowUntil(what, isSo, stepMs);
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
    for (const { trainer, revisions } of this.controllers) {
      void trainer.statistics(this.#abort.signal).then((figures) => {
        if (figures !== undefined) revisions.observe(figures, this.clock.monotonic());
      });
    }
    if (this.controllers.some((each) => each.letCountedGo())) this.dispatcher.wake();
    this.clock.after(5_000, () => {
      this.watchFigures();
    });
  }

  get isEmpty(): boolean {
    const { pending, deferred, inFlight } = this.dispatcher.counts;
    return pending + deferred + inFlight === 0 && this.spool.queued.length === 0;
  }

  /** Makes a first controller that is up and has a witness, by a message that it learns. */
  async warmUp(key = 'warm-up'): Promise<void> {
    this.put(key);
    this.dispatcher.start();
    await this.finish();
    for (const { posts } of this.trainers) posts.length = 0;
    this.recorder.lines.length = 0;
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
