import { Affinity } from './affinity.ts';
import { Attempts, disposalOf } from './attempt.ts';
import { Attribution } from './attribution.ts';
import { Backlog } from './backlog.ts';
import { Scheduler } from './scheduler.ts';
import type { DeliveryOptions } from './store.ts';

export interface Delivery {
  readonly scheduler: Scheduler;
  readonly backlog: Backlog;
}

/**
 * Puts the parts of the delivery together: for the daemon, for `relearn`, for tests and benches.
 * @param affinity what earlier posts without an answer are bound to
 */
export function createDelivery(
  options: DeliveryOptions,
  affinity = new Affinity(options.clock),
): Delivery {
  const { controllers, faults } = options;
  const attempts = new Attempts(options, affinity);
  const backlog = new Backlog(options, (message) => {
    faults.clear(disposalOf(message));
    for (const controller of controllers) controller.forget(message);
  });
  const attribution = new Attribution(options, backlog, attempts);
  const parts = { affinity, backlog, attempts, attribution };
  return { scheduler: new Scheduler(options, parts), backlog };
}
