import type { Config } from '../config.ts';
import { Affinity } from '../delivery/affinity.ts';
import { Controller } from '../delivery/controller.ts';
import type { ControllerOptions } from '../delivery/controller.ts';
import { MessageEvents } from '../delivery/events.ts';
import type { LearnedListener } from '../delivery/events.ts';
import type { Learner } from '../delivery/learner.ts';
import { FILTERS } from '../filter.ts';
import type { Filter } from '../filter.ts';
import type { Trainer } from '../trainers/trainer.ts';

export interface LearnersOptions extends Omit<ControllerOptions, 'trainer'> {
  readonly config: Pick<Config, 'rspamd' | 'spamd' | 'learning'>;
  readonly trainers: readonly Trainer[];
  /** Hears of each message that a filter learned. */
  readonly onLearned: (filter: Filter) => LearnedListener;
}

/** Posts in one that is taught to SpamAssassin: what was known is forgotten first, with a canary. */
const TELLS = 10;

/** The filters that the trainers belong to. */
export function createLearners(options: LearnersOptions): readonly Learner[] {
  const { config, trainers, clock, log, onLearned } = options;
  const { rspamd, spamd, learning } = config;
  const filters = FILTERS.filter((filter) => trainers.some((each) => each.filter === filter));
  return filters.map((filter) => ({
    filter,
    controllers: trainers
      .filter((each) => each.filter === filter)
      .map((trainer) => new Controller({ ...options, trainer })),
    affinity: new Affinity(clock),
    events: new MessageEvents({
      log,
      clock,
      filter,
      isOneOfSeveral: filters.length > 1,
      onLearned: onLearned(filter),
    }),
    ...(filter === 'rspamd'
      ? { concurrency: learning.concurrency, longestPostMs: rspamd.timeoutMs }
      : // More bring nothing, and cost latency (30 a second with one, 22 with four).
        { concurrency: 1, longestPostMs: TELLS * spamd.timeoutMs }),
  }));
}
