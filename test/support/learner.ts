import type { Clock } from '../../src/clock.ts';
import { Affinity } from '../../src/delivery/affinity.ts';
import type { Controller } from '../../src/delivery/controller.ts';
import { MessageEvents } from '../../src/delivery/events.ts';
import type { Learner } from '../../src/delivery/store.ts';
import type { Filter } from '../../src/filter.ts';
import type { Log } from '../../src/logger.ts';
import { VERDICTS } from '../../src/verdict.ts';

/** A filter as it is taught by these controllers, which are all its own. */
export function learnerOf(
  controllers: readonly Controller[],
  { log, clock }: { readonly log: Log; readonly clock: Clock },
  events = new MessageEvents({ log, clock, filter: filterOf(controllers), verdicts: VERDICTS }),
): Learner {
  const affinity = new Affinity(clock);
  return {
    filter: events.filter,
    controllers,
    affinity,
    events,
    concurrency: 8,
    longestPostMs: 30_000,
  };
}

function filterOf(controllers: readonly Controller[]): Filter {
  return controllers[0]?.trainer.filter ?? 'rspamd';
}
