import type { Config } from '../config.ts';
import type { Filter } from '../filter.ts';
import { RspamdTrainer } from './rspamd.ts';
import { Reports } from './spamassassin/reports.ts';
import type { ReportsOptions } from './spamassassin/reports.ts';
import { SpamdTrainer } from './spamassassin/spamd.ts';
import type { Taught } from './spamassassin/taught.ts';
import type { Trainer } from './trainer.ts';

export interface TrainersOptions {
  /** rspamd learns what Bayes judges rightly already, too. @defaultValue true */
  readonly bulk?: boolean;
  /** What was taught before, where that is kept. */
  readonly taught?: Taught;
  /** Where SPAMD_REPORT is set. @defaultValue nothing is reported */
  readonly reporting?: Pick<ReportsOptions, 'onResult' | 'stop'>;
}

/** The trainers that the settings name, one for each controller: the one list of filters. */
export function createTrainers(
  config: Pick<Config, 'trainers' | 'rspamd' | 'spamd'>,
  { bulk = true, taught, reporting }: TrainersOptions = {},
): readonly Trainer[] {
  const { rspamd, spamd } = config;
  const make: Readonly<Record<Filter, () => readonly Trainer[]>> = {
    rspamd: () =>
      rspamd.controllers.map((controller) => new RspamdTrainer({ ...rspamd, controller, bulk })),
    spamassassin: () => {
      const isReported = spamd.report && reporting !== undefined;
      const reports = isReported ? new Reports({ ...spamd, ...reporting }) : undefined;
      return [new SpamdTrainer({ ...spamd, taught, reports })];
    },
  };
  return config.trainers.flatMap((filter) => make[filter]());
}
