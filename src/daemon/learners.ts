import type { Config } from '../config.ts';
import { Affinity } from '../delivery/affinity.ts';
import { Controller } from '../delivery/controller.ts';
import type { ControllerOptions } from '../delivery/controller.ts';
import { MessageEvents } from '../delivery/events.ts';
import type { EndedListener } from '../delivery/events.ts';
import type { Learner } from '../delivery/store.ts';
import { FILTERS } from '../filter.ts';
import type { Filter } from '../filter.ts';
import type { Trainer } from '../trainers/trainer.ts';
import { userByFields } from '../user.ts';

interface LearnersOptions extends Omit<ControllerOptions, 'trainer'> {
  readonly config: Pick<Config, 'spool' | 'learning'>;
  readonly trainers: readonly Trainer[];
  /** Hears how each message ended at a filter. */
  readonly onEnded: (filter: Filter) => EndedListener;
}

/** The filters that the trainers belong to. */
export function createLearners(options: LearnersOptions): readonly Learner[] {
  const { config, trainers, clock, log, onEnded } = options;
  const { concurrency, userFields } = config.learning;
  const filters = FILTERS.filter((filter) => trainers.some((each) => each.filter === filter));
  return filters.map((filter) => {
    const own = trainers.filter((each) => each.filter === filter);
    return {
      filter,
      controllers: own.map((trainer) => new Controller({ ...options, trainer })),
      affinity: new Affinity(clock),
      events: new MessageEvents({
        log,
        clock,
        filter,
        verdicts: config.spool.verdicts,
        isOneOfSeveral: filters.length > 1,
        onEnded: onEnded(filter),
      }),
      concurrency: own[0]?.concurrency ?? concurrency,
      longestPostMs: Math.max(...own.map(({ longestPostMs }) => longestPostMs)),
      findUser: own[0]?.hasUsers === true ? userByFields(userFields) : undefined,
    };
  });
}
