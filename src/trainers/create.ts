import type { Config } from '../config.ts';
import type { Filter } from '../filter.ts';
import { RspamdTrainer } from './rspamd.ts';
import { SaLearnTrainer } from './spamassassin/sa-learn.ts';
import { SpamdTrainer } from './spamassassin/spamd.ts';
import type { Diagnosis } from './spamassassin/spamd.ts';
import type { Taught } from './spamassassin/taught.ts';
import type { Trainer } from './trainer.ts';

export interface TrainersOptions {
  /** rspamd learns what Bayes judges rightly already, too. @defaultValue true */
  readonly bulk?: boolean;
  /** What was taught before, where that is kept. */
  readonly taught?: Taught;
}

/** A trainer that can find out whether SpamAssassin learns. */
export interface SpamAssassinTrainer extends Trainer {
  diagnose(signal: AbortSignal): Promise<Diagnosis>;
}

/** A trainer by spamd, or by `sa-learn` where SPAMD_URL names that. */
export function createSpamAssassin(spamd: Config['spamd'], taught?: Taught): SpamAssassinTrainer {
  return spamd.address.program === undefined
    ? new SpamdTrainer({ ...spamd, taught })
    : new SaLearnTrainer({ ...spamd, taught });
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
    spamassassin: () => [createSpamAssassin(spamd, taught)],
  };
  return config.trainers.flatMap((filter) => make[filter]());
}
