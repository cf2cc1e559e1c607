import type { Config } from '../config.ts';
import type { Filter } from '../filter.ts';
import { RspamdTrainer } from './rspamd.ts';
import { SpamdTrainer } from './spamassassin/spamd.ts';
import type { Taught } from './spamassassin/taught.ts';
import type { Trainer } from './trainer.ts';

export interface TrainersOptions {
  /** rspamd learns what Bayes judges rightly already, too. @defaultValue true */
  readonly bulk?: boolean;
  /** What was taught before, where that is kept. */
  readonly taught?: Taught;
}

/** The trainers that the settings name, one for each controller: the one list of filters. */
export function createTrainers(
  config: Pick<Config, 'trainers' | 'rspamd' | 'spamd'>,
  { bulk = true, taught }: TrainersOptions = {},
): readonly Trainer[] {
  const { rspamd, spamd } = config;
  const make: Readonly<Record<Filter, () => readonly Trainer[]>> = {
    rspamd: () =>
      rspamd.controllers.map((controller) => new RspamdTrainer({ ...rspamd, controller, bulk })),
    spamassassin: () => [new SpamdTrainer({ ...spamd, taught })],
  };
  return config.trainers.flatMap((filter) => make[filter]());
}
