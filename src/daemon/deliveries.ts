import { addUp } from '../delivery/events.ts';
import type { DeliveryOptions, Learner } from '../delivery/store.ts';
import { PATIENCE_MS } from '../delivery/pace.ts';
import { Scheduler } from '../delivery/scheduler.ts';
import type { Folder } from '../spool/folder.ts';
import type { SpoolEvents } from '../spool/message.ts';
import type { Queue } from '../spool/queue.ts';
import type { StateDir } from '../spool/state-dir.ts';
import type { Counts, Stall } from '../status/reports.ts';
import { DoneLog } from './done-log.ts';
import { JointStore } from './joint-store.ts';

/**
 * The deliveries of a session, one for each filter: each goes at its own pace and judges its own
 * failures, and a filter that is away holds back nothing of another one but the disposal.
 */
interface DeliveriesOptions extends Omit<DeliveryOptions, keyof Learner> {
  readonly learners: readonly Learner[];
  readonly queue: Queue;
  readonly stateDir: Pick<StateDir, 'root'>;
}

/** Posts that one message in flight may take, and some more. */
const LONGEST_FLIGHT_POSTS = 10;

interface OneDelivery {
  readonly learner: Learner;
  readonly scheduler: Scheduler;
  /** Where there are others. */
  readonly joint: JointStore | undefined;
}

export class Deliveries {
  readonly #each: readonly OneDelivery[];

  /** @throws the system's error for a disk fault */
  constructor(options: DeliveriesOptions) {
    const { learners, store, queue, clock, stateDir, backlog } = options;
    const logs = learners.length > 1 ? openLogs(stateDir.root, learners) : [];
    const joints: readonly JointStore[] = logs.map(
      (log) => new JointStore({ store, queue, clock, all: () => joints, log, backlog }),
    );
    this.#each = learners.map((learner, index) => {
      const joint = joints[index];
      const scheduler = new Scheduler({ ...options, ...learner, store: joint ?? store });
      return { learner, scheduler, joint };
    });
  }

  /** What the spool tells them. */
  get spoolEvents(): SpoolEvents {
    return {
      enqueued: (entry, settled) => {
        for (const { scheduler, joint } of this.#each) {
          joint?.enqueued(entry);
          scheduler.enqueued(entry, settled);
        }
      },
      superseded: (verdict, key) => {
        for (const { scheduler, joint } of this.#each) {
          // Where a filter has done with the message, it has ended there already.
          if (joint?.hasDone(key) !== true) scheduler.superseded(verdict, key);
          joint?.forget(key);
        }
      },
      outdated: (verdict, key) => this.#each[0]?.learner.events.superseded(verdict, key),
      rescan: () => {
        for (const { scheduler } of this.#each) scheduler.rescan();
      },
    };
  }

  /** What is in memory. */
  get counts(): Counts {
    const all = this.#each.map(({ scheduler }) => scheduler.counts);
    return addUp(['pending', 'deferred', 'inFlight'], all);
  }

  /** What is in memory of one filter. */
  countsOf(learner: Learner): Counts | undefined {
    return this.#each.find((each) => each.learner === learner)?.scheduler.counts;
  }

  /** Whether their loops turn. */
  get stalls(): readonly Stall[] {
    return this.#each.flatMap(({ learner, scheduler }) => {
      const longest = LONGEST_FLIGHT_POSTS * (learner.longestPostMs + PATIENCE_MS);
      return [
        { what: 'the scheduler', ms: scheduler.overdueMs },
        { what: 'a message in flight', ms: Math.max(0, scheduler.longestFlightMs - longest) },
      ];
    });
  }

  start(): void {
    for (const { scheduler } of this.#each) scheduler.start();
  }

  wake(): void {
    for (const { scheduler } of this.#each) scheduler.wake();
  }

  retryNow(): void {
    for (const { scheduler } of this.#each) scheduler.retryNow();
  }

  hurryUp(graceMs: number): void {
    for (const { scheduler } of this.#each) scheduler.hurryUp(graceMs);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#each.map(({ scheduler }) => scheduler.stop()));
    for (const { joint } of this.#each) joint?.close();
  }

  /** True when none of them gets any further; see {@link Scheduler.isSpent}. */
  isSpent(probes: number): boolean {
    return this.#each.every(({ scheduler }) => scheduler.isSpent(probes));
  }
}

/** Opens a log for each, or leaves none open. */
function openLogs(root: Folder, learners: readonly Learner[]): readonly DoneLog[] {
  const logs: DoneLog[] = [];
  try {
    for (const { filter } of learners) logs.push(new DoneLog(root, filter));
  } catch (error) {
    for (const each of logs) each.close();
    throw error;
  }
  return logs;
}
