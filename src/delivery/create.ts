import { setMaxListeners } from 'node:events';
import type { Bugs } from '../bugs.ts';
import { sleep } from '../clock.ts';
import type { Clock } from '../clock.ts';
import type { DiskFaults } from '../spool/disk-faults.ts';
import type { MessageLocks } from '../spool/message-locks.ts';
import { Affinity } from './affinity.ts';
import { Attempts, disposalOf } from './attempt.ts';
import { Attribution } from './attribution.ts';
import { Backlog } from './backlog.ts';
import type { Controller } from './controller.ts';
import type { MessageEvents } from './events.ts';
import { Posts } from './posts.ts';
import type { ProofSampler } from './sampler.ts';
import { Scheduler } from './scheduler.ts';
import type { MessageStore } from './store.ts';

/** What the delivery of messages is made of. */
export interface DeliveryOptions {
  readonly controllers: readonly Controller[];
  readonly store: MessageStore;
  readonly events: MessageEvents;
  readonly faults: DiskFaults;
  readonly bugs: Bugs;
  readonly clock: Clock;
  readonly random: () => number;
  /** Posts in flight for each controller. */
  readonly concurrency: number;
  /** Failures that are charged to a message before it is quarantined. */
  readonly maxAttempts: number;
  /** Most messages held in memory. */
  readonly backlog: number;
  readonly settleMs: number;
  /** How often the store is scanned although nothing is known to wait there. */
  readonly rescanMs: number;
  readonly locks: MessageLocks;
  /** What earlier posts without an answer are bound to. @defaultValue none */
  readonly affinity?: Affinity;
  /** @defaultValue every message is proven by itself */
  readonly sampler?: ProofSampler;
}

export interface Delivery {
  readonly scheduler: Scheduler;
  readonly backlog: Backlog;
}

/** Puts the parts of the delivery together: for the daemon, for `relearn`, for tests and benches. */
export function createDelivery(options: DeliveryOptions): Delivery {
  const { controllers, faults, locks, clock, sampler } = options;
  const { affinity = new Affinity(() => clock.monotonic()) } = options;
  const [ending, abort] = [new AbortController(), new AbortController()];
  // Every post in flight listens.
  for (const { signal } of [ending, abort]) setMaxListeners(0, signal);
  const pause = (ms: number): Promise<void> => sleep(clock, ms, ending.signal);
  const posts = new Posts({ controllers, locks, affinity, pause, signal: abort.signal });
  const attempts = new Attempts({ ...options, affinity, posts, sampler, pause });
  const backlog = new Backlog({
    ...options,
    controllers: controllers.map(({ name }) => name),
    onForgotten: (message) => {
      faults.clear(disposalOf(message));
      for (const controller of controllers) controller.forget(message);
    },
  });
  const attribution = new Attribution({ ...options, backlog, attempts, posts, sampler });
  const parts = { affinity, backlog, attempts, attribution, ending, abort };
  return { scheduler: new Scheduler({ ...options, ...parts }), backlog };
}
