import type { Config } from '../config.ts';
import { Affinity } from '../delivery/affinity.ts';
import { Controller } from '../delivery/controller.ts';
import type { ControllerOptions } from '../delivery/controller.ts';
import { MessageEvents } from '../delivery/events.ts';
import type { EndedListener } from '../delivery/events.ts';
import type { Learner } from '../delivery/store.ts';
import { FILTERS } from '../filter.ts';
import type { Filter } from '../filter.ts';
import { limitsOfSpamAssassin } from '../trainers/create.ts';
import type { Trainer } from '../trainers/trainer.ts';
import { userByFields } from '../user.ts';

interface LearnersOptions extends Omit<ControllerOptions, 'trainer'> {
  readonly config: Pick<Config, 'spool' | 'rspamd' | 'spamd' | 'learning'>;
  readonly trainers: readonly Trainer[];
  /** Hears how each message ended at a filter. */
  readonly onEnded: (filter: Filter) => EndedListener;
}

/** How much a filter takes at a time, and whose memory learns. */
type Limits = Pick<Learner, 'concurrency' | 'longestPostMs' | 'findUser'>;

/** The filters that the trainers belong to. */
export function createLearners(options: LearnersOptions): readonly Learner[] {
  const { config, trainers, clock, log, onEnded } = options;
  const { rspamd, spamd, learning } = config;
  const limits: Readonly<Record<Filter, () => Limits>> = {
    rspamd: () => ({
      concurrency: learning.concurrency,
      // The lists of the fuzzy storage are asked before and after.
      longestPostMs: rspamd.timeoutMs * (1 + (rspamd.fuzzy?.size ?? 0)),
      findUser: userByFields(learning.userFields),
    }),
    spamassassin: () => limitsOfSpamAssassin(spamd),
  };
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
      verdicts: config.spool.verdicts,
      isOneOfSeveral: filters.length > 1,
      onEnded: onEnded(filter),
    }),
    ...limits[filter](),
  }));
}
